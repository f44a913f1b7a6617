"""docs/clients.md has each client of ``tests/more/apps/callers``, as its row says it."""

import pytest

from tests.more.apps.callers.catalogue import CLIENTS, HERE, Client
from tests.more.apps.callers.table import known

clients = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@clients
def test_it_has_each_client_with_the_version_it_was_tried_with(client: Client) -> None:
    """``make test-apps WRITE=1`` writes it."""
    assert known().get(client.name, "not tried") != "not tried"


@clients
def test_a_row_leads_to_the_clients_program(client: Client) -> None:
    assert (HERE / client.program).is_file()


def test_no_program_is_without_a_row() -> None:
    programs = {client.program for client in CLIENTS} | {"node/tunnels.mjs"}
    found = {
        str(file.relative_to(HERE))
        for file in HERE.glob("*/*.*")
        if file.suffix not in {".json", ".pyc"}
    }
    assert found == programs


def test_no_two_clients_have_one_name() -> None:
    assert len({client.name for client in CLIENTS}) == len(CLIENTS)

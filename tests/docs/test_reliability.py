"""docs/reliability.md has each fault of ``tests/more/faults``, as its row says it."""

import pytest

from tests.more.faults.catalogue import FAULTS
from tests.more.faults.fault import Fault
from tests.more.faults.table import known

faults = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace("`", ""))


@faults
def test_it_has_each_fault_with_what_is_expected_and_what_was_seen(fault: Fault) -> None:
    """``make faults`` writes it."""
    assert fault.name in known()


def test_no_two_faults_have_one_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)

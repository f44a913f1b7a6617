"""The line that names the Portal: put into portal.yaml, all else as its owner wrote it."""

import pytest

from proxy.config.portal_yaml_edit import COMMENT, with_id
from proxy.core.errors import Invalid
from proxy.core.identity import ID_LENGTH

OURS = "a" * ID_LENGTH
THEIRS = "b" * ID_LENGTH
LINE = f"id: {OURS}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: Ada\n", f"name: Ada\n\n{COMMENT}\n{LINE}"),
        ("name: Ada", f"name: Ada\n\n{COMMENT}\n{LINE}"),
        ("# só\r\nname: Ada\r\n", f"# só\r\nname: Ada\r\n\n{COMMENT}\n{LINE}"),
        (f"id: {THEIRS}\nname: Ada\n", f"{LINE}name: Ada\n"),
        ("name: Ada\nid: new # a demo\nstate: x\n", f"name: Ada\nid: {OURS} # a demo\nstate: x\n"),
        ("name: Ada\nlisten:\n  id: x\n", f"name: Ada\nlisten:\n  id: x\n\n{COMMENT}\n{LINE}"),
        ("name: Ada\n# id: here\n", f"name: Ada\n# id: here\n\n{COMMENT}\n{LINE}"),
        ('id: "new"\nname: Ada\n', f"{LINE}name: Ada\n"),
    ],
)
def test_the_line_is_put_in_and_nothing_else_changes(before: str, after: str) -> None:
    assert with_id(before.encode(), OURS) == after.encode()


@pytest.mark.parametrize(
    "text",
    [
        "{name: Ada}\n",
        '"id": new\nname: Ada\n',
        "name: Ada\n...\n",
        "id:\n  new\nname: Ada\n",
        "name: |\n  Ada\n\n  id: x",
    ],
)
def test_a_form_that_nobody_but_its_owner_should_change_is_left_alone(text: str) -> None:
    found = with_id(text.encode(), OURS)
    assert found is None or found.startswith(text.encode())


def test_what_is_no_yaml_is_not_changed() -> None:
    with pytest.raises(Invalid):
        with_id(b"name: [", OURS)

"""What the guides' tables say of keys."""

import pytest

from proxy.schemas.descriptions import Said, read_descriptions

PAGE = """\
# A guide

### file.yaml

Words.

| key | default | |
|---|---|---|
| `a` | `1 s` | the *[first](#x)* of **them**; `ab` |
| `b.c`, `b.d` | `x`, `y` | Two &lt;keys&gt; ([below](#x)) |
| `e.<name>` | from the author | Is it? |
| `f` | none | nothing |
| `g` | (needed) | must be |

| other | |
|---|---|
| `z` | no |

## Next
"""


def test_each_key_of_the_first_table_is_described() -> None:
    assert read_descriptions(PAGE, "### file.yaml") == {
        "a": Said("The first of them; ab.", "1 s"),
        "b.c": Said("Two <keys>.", "x"),
        "b.d": Said("Two <keys>.", "y"),
        "e.<>": Said("Is it?", "from the author"),
        "f": Said("Nothing."),
        "g": Said("Must be."),
    }


@pytest.mark.parametrize("heading", ["### gone", "## Next"])
def test_a_heading_or_a_table_that_is_gone_is_no_description(heading: str) -> None:
    with pytest.raises(ValueError, match="there is no"):
        read_descriptions(PAGE + "\n", heading)

"""Each fault once, or a few times: what is seen is what docs/reliability.md says."""

from __future__ import annotations

import pytest

from .catalogue import FAULTS
from .fault import Fault

pytestmark = pytest.mark.more


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace("`", ""))
def test_what_is_seen_is_what_is_expected(fault: Fault) -> None:
    if fault.missing:
        pytest.skip(f"without {fault.missing}")
    seen = fault.see(fault.in_tests)
    if fault.is_open and seen.otherwise:
        pytest.xfail(str(dict(seen.otherwise)))
    assert not seen.otherwise
    assert seen.rounds >= fault.in_tests

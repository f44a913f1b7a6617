"""How tables of strace are read."""

from bench.syscalls import counted

_TABLE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 51.10    0.443026           4       400           sendto
 28.42    0.246391           3       300       100 recvfrom
 14.58    0.126365           5      2000           getpid
------ ----------- ----------- --------- --------- ----------------
100.00    0.815782           4      2700       100 total
"""


def test_calls_are_added_up_with_failed_ones_and_without_getpid() -> None:
    assert counted(_TABLE) == 700


def test_an_empty_table_has_none() -> None:
    assert counted("") == 0

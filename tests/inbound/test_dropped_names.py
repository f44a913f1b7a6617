"""What is told of an app once, however often and however much of it is sent."""

import pytest

from proxy.inbound.dropped_names import MOST, DroppedNamesLog

_MESSAGE = "a field %s isn't handed on"


def test_a_name_is_told_once_for_each_app_and_kind_of_sender(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = DroppedNamesLog()
    for _ in range(3):
        told.tell("box", "anonymous", _MESSAGE, b"script_name")
        told.tell("site", "anonymous", _MESSAGE, b"script_name")
        told.tell("box", "peer", _MESSAGE, b"script_name")
    assert caplog.messages == [
        "box: a field script_name isn't handed on",
        "site: a field script_name isn't handed on",
        "box: a field script_name isn't handed on",
    ]


def test_a_stranger_who_chooses_names_fills_nothing(caplog: pytest.LogCaptureFixture) -> None:
    told = DroppedNamesLog()
    for number in range(MOST * 3):
        told.tell("box", "anonymous", _MESSAGE, b"x_%d" % number)
    assert len(caplog.messages) == MOST
    assert caplog.messages[-1].endswith("; further names aren't told")
    told.tell("box", "terminal", _MESSAGE, b"my_field")
    assert caplog.messages[-1] == "box: a field my_field isn't handed on"


def test_a_name_is_shown_cut_short_and_escaped(caplog: pytest.LogCaptureFixture) -> None:
    DroppedNamesLog().tell("box", "anonymous", _MESSAGE, b"x_\x1b[31m" + b"y" * 9000)
    assert caplog.messages == ["box: a field x_\\x1b[31m" + "y" * 73 + " isn't handed on"]

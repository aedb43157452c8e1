"""What all receivers of positions have in common."""

from __future__ import annotations

import queue
from typing import Any, cast

import pytest

from hw.gnss.source import FixSource
from hw.ports import Fix
from hw.registry import driver
from tests.support.wait import until


def source_of(kind: str, **more: Any) -> FixSource:
    return cast("type[FixSource]", driver("gnss", kind))("/dev/none", now_ns=lambda: 0, **more)


@pytest.mark.parametrize(("kind", "given", "used"), [("nmea", None, 9600), ("at", None, 115_200), ("at", 9600, 9600), ("nmea", 4800, 4800)])
def test_a_port_is_opened_with_the_given_speed_or_the_usual_one(kind: str, given: int | None, used: int) -> None:
    """9600 for NMEA and 115200 for a modem, where nobody says another."""
    asked: list[int] = []

    def open_port(path: str, baud: int, **_: Any) -> Any:
        asked.append(baud)
        raise OSError("not there")

    source = source_of(kind, deliver=lambda _: None, baud=given, open_port=open_port)
    source.start()
    until(lambda: bool(asked), "the first attempt")
    source.close()
    assert set(asked) == {used}


@pytest.mark.parametrize("kind", ["nmea", "at"])
def test_a_fix_that_the_inbox_has_no_room_for_is_counted(kind: str) -> None:
    """Nothing blocks and nothing is raised."""

    def full(_: Fix) -> None:
        raise queue.Full

    source = source_of(kind, deliver=full)
    source._give([Fix(t_ns=1), Fix(t_ns=2)])
    assert source.lost == 2

"""What the doctor gathers of a bus that it listens to itself; the real kernel's is in tests/guest/test_doctor.py."""

from __future__ import annotations

import pytest

from agent.cli import diagnosis
from agent.sections import Bus
from hw.can.interface import Interface
from hw.can.listen import Heard, Seen


@pytest.mark.parametrize(("ids", "stranger"), [((0x10, 0x11), True), ((0x10, 0x12), False), ((), False)])
def test_a_bus_of_another_car_is_known_by_its_identifiers(monkeypatch: pytest.MonkeyPatch, ids: tuple[int, ...], stranger: bool) -> None:
    """Not one that the vehicle's files have; a bus on which nothing comes says nothing of whose it is."""
    heard = Heard(seconds=2.0)
    for can_id in ids:
        heard.take(Seen(can_id, 8))
    monkeypatch.setattr(diagnosis, "listen", lambda *_: heard)
    monkeypatch.setattr(diagnosis, "interface_of", lambda _: Interface(there=True, up=True))
    facts = diagnosis._bus(Bus(name="pt", channel="can0"), None, {0x12})
    assert (facts.stranger, facts.good) == (stranger, len(ids))

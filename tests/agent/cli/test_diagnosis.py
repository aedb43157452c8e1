"""What the doctor gathers of a bus that it listens to itself; the real kernel's is in tests/guest/test_doctor.py."""

from __future__ import annotations

from typing import Any

import pytest

from agent.cli import diagnosis
from agent.health.facts import BrokerFacts
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


UNREAD = {"lanes": {"id:main": {"online": False, "broker": "main", "why": "a credential cannot be read"}}}


@pytest.mark.parametrize(
    ("tried", "step"),
    [({}, "credential"), ({"unseen": "root may"}, "credential"), ({"step": "connect"}, "connect"), ({"lane": "id:other"}, "")],
)
def test_what_the_uplink_met_on_its_lane_counts_where_root_met_nothing(tried: dict[str, Any], step: str) -> None:
    """Root reads every key; modicum-uplink, which has to, may not. A fault that the try met itself is told as that."""
    facts = diagnosis._seen_by_uplink(BrokerFacts(**{"name": "main", "lane": "id:main"} | tried), UNREAD)
    assert facts.step == step

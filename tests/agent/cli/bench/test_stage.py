"""agent.cli.bench.stage: which bus a run takes; the plans of a live run are remembered as they change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.cli.bench import stage as bench
from agent.cli.bench.device import BusChoice
from agent.cli.bench.stage import Stage, default_bus, remarks, virtual_bus
from hw.bench.group import GROUPS
from hw.errors import HwError
from tests.support.interface import interface


def staged(lines: list[dict[str, Any]]) -> Stage:
    """A stage with recipients and nothing else."""
    parts: dict[str, Any] = {"request": None, "device": SimpleNamespace(control=None), "programs": None, "drive": None}
    return Stage(**parts, listeners=cast("Any", SimpleNamespace(lines=lines)))


def test_the_plan_is_asked_whenever_it_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each plan, not once for each look."""
    asked, plan = list[str](), {"id": "1", "rules": [], "refused": []}

    def ask(_: object, route: str) -> dict[str, Any]:
        asked.append(route)
        return plan if route == "plan" else {"plan": {"id": plan["id"]}}

    monkeypatch.setattr(bench, "ask", ask)
    stage = staged([])
    for name in ("1", "1", "2", "2"):
        plan = plan | {"id": name}
        bench._look(stage)
    assert [one["id"] for one in stage.chronicle.plans] == ["1", "2"]
    assert asked.count("plan") == 2
    assert stage.plan == stage.chronicle.plan == plan


def test_a_plan_is_remembered_with_the_second_of_the_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    """At which it was seen; another terminal may withdraw at any time."""
    name, elapsed_s = "1", 0.2

    def ask(_: object, route: str) -> dict[str, Any]:
        return {"id": name, "rules": [], "refused": []} if route == "plan" else {"plan": {"id": name}}

    monkeypatch.setattr(bench, "ask", ask)
    monkeypatch.setattr(Stage, "elapsed_s", property(lambda _: elapsed_s))
    stage = staged([])
    for name, elapsed_s in (("1", 0.2), ("1", 5.0), ("2", 17.5)):  # noqa: B007  read by the functions above
        bench._look(stage)
    assert list(stage.chronicle.since_s) == [0.0, 17.5]


VCAN = BusChoice(interface="socketcan", channel="vcan0")


def test_vcan0_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while it is down: the person is told so, and not silently given another bus."""
    interface(monkeypatch, "vcan0", flags=0)
    assert default_bus() == virtual_bus() == VCAN


def test_without_vcan0_it_is_datagrams_on_a_port_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other CAN interfaces are somebody's car and are never taken by themselves; two runs do not hear each other."""
    interface(monkeypatch, "can0")
    one, other = default_bus(), default_bus()
    assert virtual_bus() is None
    assert (one.interface, one.channel in GROUPS) == ("udp_multicast", True)
    assert one.port != other.port


def test_only_socketcan_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel of another adapter is no name of a network interface."""
    interface(monkeypatch, "can0")
    assert remarks(BusChoice(interface="slcan", channel="/dev/ttyACM0")) == []
    with pytest.raises(HwError, match="there is no interface vcan0"):
        remarks(VCAN)

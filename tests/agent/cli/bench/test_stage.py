"""agent.cli.bench.stage: which bus a run takes; the plans of a live run are remembered; what can be done to it while it goes on."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.cli.bench import stage as bench
from agent.cli.bench.device import BusChoice, Device
from agent.cli.bench.stage import Stage, default_bus, remarks, virtual_bus
from agent.errors import UsageError
from hw.bench.group import GROUPS
from hw.bench.truth import Drive
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


def driving(**parts: Any) -> tuple[Stage, list[tuple[str, str]]]:
    """A stage ten seconds into its drive, and what its programs are told."""
    told = list[tuple[str, str]]()
    stage = staged([])
    stage.programs = cast("Any", SimpleNamespace(tell=lambda name, line: told.append((name, line))))
    stage.device, stage.drive = Device(Path("unused"), Path("unused"), **parts), Drive.load("drive")
    stage.start_ns, stage.ends_s = time.time_ns() - 10 * 10**9, 60.0
    return stage, told


def test_a_crash_is_told_to_car_and_receiver_once_and_ahead() -> None:
    """In seconds since the drive began; the truth knows it too; a second one is refused in words."""
    stage, told = driving()
    stage.crash()
    at_s = stage.drive.crash_s
    assert [name for name, _ in told] == ["car", "receiver"]
    assert {line for _, line in told} == {f"crash {at_s}"}
    assert at_s == pytest.approx(10.5, abs=0.3)
    with pytest.raises(UsageError, match="is going to crash anyway"):
        stage.crash()
    stage.start_ns -= 10**9
    with pytest.raises(UsageError, match="has crashed already"):
        stage.crash()
    assert len(told) == 2


@pytest.mark.parametrize("url", ["mqtts://127.0.0.1:8883", "mqtt://localhost"])
def test_a_broker_of_this_computer_is_reached_over_a_link_that_can_be_cut(url: str) -> None:
    """By the device; whoever listens keeps the broker's own address."""
    stage, _ = driving(broker_url=url)
    bench._put_link_between(stage)
    assert stage.link is not None
    with stage.link:
        assert stage.device.linked_url == f"{url.rsplit(':', 1)[0] if url[-1].isdigit() else url}:{stage.link.port}"
        assert stage.device.broker_url == url
        stage.cut_link()
        assert stage.link_is_cut
        stage.restore_link()
        assert not stage.link_is_cut


def test_a_broker_elsewhere_is_not_cut_from_here() -> None:
    """It is reached as before, and the refusal says so."""
    stage, _ = driving(broker_url="mqtts://broker.example:8883")
    bench._put_link_between(stage)
    assert (stage.link, stage.device.linked_url) == (None, "")
    with pytest.raises(UsageError, match="cannot be cut from here"):
        stage.cut_link()
    assert not stage.link_is_cut


def test_a_drive_that_is_ended_early_is_as_long_as_it_was() -> None:
    """Ending it twice changes nothing."""
    stage, _ = driving()
    stage.end_early()
    assert stage.ends_s == pytest.approx(10.0, abs=0.3)
    ended_s = stage.ends_s
    time.sleep(0.15)
    stage.end_early()
    assert stage.ends_s == ended_s


def test_the_last_pulse_comes_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However the drive ends between two pulses: who watches is told that it is over."""
    stage, _ = driving()
    at_s = iter([59.9] * 3)
    monkeypatch.setattr(bench, "PULSE_S", 0.0)
    monkeypatch.setattr(Stage, "elapsed_s", property(lambda _: next(at_s, 60.1)))
    seen = list[bool]()
    stage.programs = cast("Any", SimpleNamespace(check=lambda: None))
    stage.request = cast("Any", SimpleNamespace(pulse=lambda stage: seen.append(stage.is_over)))
    for question in ("_look", "_sit_down", "_look_at_the_call"):
        monkeypatch.setattr(bench, question, lambda _: None)
    bench._drive(stage)
    assert seen == [False, True]


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


def test_each_cut_of_the_link_is_remembered_with_its_end() -> None:
    """The end of the drive, where it was never restored."""
    stage, _ = driving()
    stage.link = cast("Any", SimpleNamespace(cut=lambda *, admit: None, restore=lambda: None))
    stage.cut_link()
    stage.restore_link()
    stage.cut_link()
    stage.end_early()
    (first, second) = stage.cuts
    assert [*first, second[0]] == [pytest.approx(10.0, abs=0.3)] * 3
    assert second[1] == stage.ends_s

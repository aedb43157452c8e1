"""agent.cli.bench.stage: the plans of a live run are remembered as they change; what can be done to it while it goes on."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.cli.bench import stage as bench
from agent.cli.bench.device import Device
from agent.cli.bench.stage import Stage
from agent.errors import UsageError


def staged(lines: list[dict[str, Any]]) -> Stage:
    """A stage with recipients and nothing else."""
    parts: dict[str, Any] = {"request": None, "device": SimpleNamespace(control=None), "programs": None}
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
    stage.device = Device(Path("unused"), **parts)
    stage.start_ns, stage.ends_s = time.time_ns() - 10 * 10**9, 60.0
    return stage, told


def test_a_crash_is_told_to_car_and_receiver_once_and_ahead() -> None:
    """In seconds since the drive began; a second one is refused in words."""
    stage, told = driving()
    stage.crash()
    assert [name for name, _ in told] == ["car", "receiver"]
    assert {line for _, line in told} == {f"crash {stage.crash_s}"}
    assert stage.crash_s == pytest.approx(10.5, abs=0.3)
    with pytest.raises(UsageError, match="crashed already"):
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

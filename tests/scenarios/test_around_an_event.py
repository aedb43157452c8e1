"""before_s and after_s through the whole agent: who drives, and what the plan allows, at each moment of a drive."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.collect.pipeline import Pipeline
from tests.scenarios.test_virtual_drive import CATALOGUE
from tests.support.truth import NS
from tests.support.virtual import SCENARIOS, Played, play

CHANGE_S, WIPERS_S = 70.0, 75.0


def driven(tmp_path: Path, *changes: str) -> Played:
    """The town with more changes; its wipers are fast from 76 s on, which is the event."""
    path = tmp_path / "more.toml"
    more = "".join(f"\n[[change]]\n{change}\n" for change in changes)
    path.write_text((SCENARIOS / "town.toml").read_text(encoding="utf-8") + more, encoding="utf-8")
    return play(str(path), 130, package="basic", catalogue=CATALOGUE)


def told(played: Played) -> list[float]:
    """When something of the stream was, in seconds of the drive."""
    start_s = played.run.scene.start_ns / NS
    return [float(str(line["t"])) - start_s for line in played.lines if line["stream"] == "around"]


def sabotage_end_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "end_events", lambda _: None)


def test_it_reaches_back_where_nothing_came_between(tmp_path: Path) -> None:
    """Twenty seconds before, fifteen after: what the next tests are measured against."""
    played = driven(tmp_path)
    assert played.faults() == []
    assert min(told(played)) < 60


@pytest.mark.req("R24", control=sabotage_end_events)
def test_a_second_driver_does_not_tell_what_the_first_did(tmp_path: Path) -> None:
    """Also of a stream that needs nobody's consent."""
    guest = f'at_s = {CHANGE_S}\nset = {{ driver = "guest" }}'
    played = driven(tmp_path, guest)
    assert played.faults() == []
    assert told(played)
    assert min(told(played)) >= CHANGE_S


@pytest.mark.req("R24", control=sabotage_end_events)
def test_a_short_stop_ends_what_was_before_it(tmp_path: Path) -> None:
    """Ignition off and on again, the same trip, the same driver."""
    off, on = (f'at_s = {CHANGE_S + more}\nset = {{ ignition = "{state}" }}' for more, state in ((0, "OFF"), (2, "ON")))
    played = driven(tmp_path, off, on)
    assert told(played)
    assert min(told(played)) >= CHANGE_S

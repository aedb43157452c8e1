"""Zones, the one thing kept about places: sealed, only while they are granted, and gone with whatever they rest on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collect.trip import TRIP_GAP_S
from agent.core.core import Core
from agent.core.zoned import SealedMemory, zone_secret
from agent.model import Position
from agent.storage.memory import DictMemory
from tests.agent.core.stage import TRIMMED, Stage

KEY, OTHER = b"k" * 32, b"o" * 32


@given(st.text(max_size=20), st.binary(max_size=100))
def test_sealed_values_come_back(name: str, value: bytes) -> None:
    """What was set is what is got, its name is found and its content stands nowhere below."""
    inner = DictMemory()
    sealed = SealedMemory(inner, KEY)
    sealed.set(name, value)
    assert sealed.get(name) == value
    assert sealed.keys() == inner.keys() == [name]
    assert len(value) < 4 or value not in (inner.get(name) or b"")
    sealed.delete(name)
    assert sealed.get(name) is None


def test_a_value_opens_under_its_own_key_and_name_only() -> None:
    """Another profile's key, another name or a changed byte: none, as where nothing is."""
    inner = DictMemory()
    SealedMemory(inner, KEY).set("zones/a", b"tags")
    stored = inner.get("zones/a") or b""
    assert SealedMemory(inner, OTHER).get("zones/a") is None
    inner.set("zones/b", stored)
    assert SealedMemory(inner, KEY).get("zones/b") is None
    inner.set("zones/a", stored[:-1] + bytes([stored[-1] ^ 1]))
    assert SealedMemory(inner, KEY).get("zones/a") is None
    for short in (b"", b"x", stored[:12]):
        inner.set("zones/a", short)
        assert SealedMemory(inner, KEY).get("zones/a") is None


def test_each_profile_has_its_own_grid() -> None:
    """The secret that shifts and keys the zones is not the profile's key and not another profile's secret."""
    assert len({KEY, OTHER, zone_secret(KEY), zone_secret(OTHER)}) == 4


def end_a_trip_somewhere(stage: Stage, *items: str, **grant: Any) -> None:
    stage.trip_of("anna", *items, **grant)
    stage.drive(3)
    stage.ignition(on=False)


def zones_kept(stage: Stage) -> list[str]:
    return stage.memory.keys("zones/")


def keeps_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "_zones_of", lambda self, facts, live: None)


def test_a_place_where_a_trip_ended_is_kept_sealed_while_a_trimmed_stream_is_granted(stage: Stage) -> None:
    """One zone, under the profile's key, and it is there again after a restart."""
    end_a_trip_somewhere(stage, "x.trimmed")
    [name] = zones_kept(stage)
    assert name == f"zones/{stage.ledger.facts().profiles['anna'].id}"
    tag = stage.core.trip.zones.cell(Position(31.2, 121.4))
    assert tag not in (stage.memory.get(name) or b"")
    with stage.again() as after:
        assert zones_kept(after) == [name]
        assert after.core.trip.zones.holds(tag)


@pytest.mark.req("R30", control=keeps_zones)
def test_zones_go_with_the_withdrawal(stage: Stage) -> None:
    """Nothing about places is left, in the files or in RAM."""
    end_a_trip_somewhere(stage, "x.trimmed")
    tag = stage.core.trip.last_cell
    assert tag is not None
    assert stage.core.trip.zones.holds(tag)
    stage.ledger.withdraw("anna", "x.trimmed")
    stage.core.decide()
    assert zones_kept(stage) == []
    assert not stage.core.trip.zones.holds(tag)


def test_zones_go_with_the_withdrawal_of_a_driver_who_has_left(stage: Stage) -> None:
    """Nobody drives any more: RAM forgets too, not only the file."""
    end_a_trip_somewhere(stage, "x.trimmed")
    tag = stage.core.trip.last_cell
    assert tag is not None
    stage.wait(TRIP_GAP_S + 1)
    assert stage.core.profile == "guest"
    stage.ledger.withdraw("anna", "x.trimmed")
    stage.core.decide()
    assert zones_kept(stage) == []
    assert not stage.core.trip.zones.holds(tag)


def test_zones_go_with_the_end_of_the_grant(stage: Stage) -> None:
    """A grant that has ended is no live grant: what was kept for it goes at that moment."""
    end_a_trip_somewhere(stage, "x.trimmed", until_s=100)
    assert zones_kept(stage)
    stage.wait(100)
    assert zones_kept(stage) == []


def test_without_a_trimmed_stream_no_place_is_kept(stage: Stage) -> None:
    """A grant for an untrimmed position remembers nothing about places."""
    end_a_trip_somewhere(stage, "x.place")
    assert zones_kept(stage) == []


def test_zones_go_with_the_profile(stage: Stage) -> None:
    """A removed driver leaves no zone behind."""
    end_a_trip_somewhere(stage, "x.trimmed")
    stage.ledger.remove_profile("anna")
    stage.core.decide()
    assert zones_kept(stage) == []


def test_trimmed_positions_wait_for_the_way(stage: Stage) -> None:
    """Silent near the start, live 500 m on: the trimmed stream is served by the same core."""
    stage.trip_of("anna", "x.trimmed")
    stage.drive(3)
    assert TRIMMED not in stage.stored()
    for step in range(60):
        stage.frame("MOTION", SPEED=50)
        stage.fix(lat=31.2 + step * 0.001)
        stage.wait(1)
    assert TRIMMED in stage.stored()

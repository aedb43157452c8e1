"""Zones: what is kept about places, how little it says, and that it is never centred on one."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collect import zones as zones_module
from agent.collect.cells import EARTH_M_PER_DEG, cell_of
from agent.collect.zones import TAG_BYTES, ZONE_M, ZONES_MAX, Zones
from agent.model import Position
from agent.storage.memory import DictMemory
from tests.agent.collect.build import ELSEWHERE, SECRET, Rig, probe, rule

KEY = "zones/test"


def zones(memory: DictMemory | None = None, secret: bytes = SECRET) -> Zones:
    return Zones(secret, memory or DictMemory(), KEY, enabled=True)


def place(i: int) -> Position:
    """Places in cells of their own."""
    return Position(ELSEWHERE.lat_deg + i * 0.05, ELSEWHERE.lon_deg)


def centre_offset(secret: bytes, where: Position) -> tuple[float, float]:
    """How far north and east of `where` the middle of its zone lies, by the product's own geometry."""
    one = zones(secret=secret)
    row, column, per_deg = cell_of(where, ZONE_M, one._shift_m)
    north = (row + 0.5) * ZONE_M - one._shift_m[0] - where.lat_deg * EARTH_M_PER_DEG
    return north, (column + 0.5) * ZONE_M - one._shift_m[1] - where.lon_deg * per_deg


def sabotage_max(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones_module, "ZONES_MAX", 1000)


@pytest.mark.req("R24", control=sabotage_max)
def test_at_most_32_places_and_the_oldest_goes() -> None:
    """A place that was visited again is not the oldest any more."""
    memory = DictMemory()
    one = zones(memory)
    for i in range(ZONES_MAX):
        one.remember(one.cell(place(i)))
    one.remember(one.cell(place(0)))
    one.remember(one.cell(place(100)))
    held = [i for i in (*range(ZONES_MAX), 100) if one.holds(one.cell(place(i)))]
    assert held == [0, *range(2, ZONES_MAX), 100]
    assert len(memory.get(KEY) or b"") == 32 * TAG_BYTES


def test_places_outlive_a_restart() -> None:
    """The same list for the same secret; another secret knows none of them."""
    memory = DictMemory()
    before = zones(memory)
    before.remember(before.cell(ELSEWHERE))
    again, other = zones(memory), zones(memory, b"x" * 32)
    assert again.holds(again.cell(ELSEWHERE))
    assert not other.holds(other.cell(ELSEWHERE))


def sabotage_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Zones.remember

    def remember(self: Zones, tag: bytes) -> None:
        self.enabled = True
        original(self, tag)

    monkeypatch.setattr(Zones, "remember", remember)


@pytest.mark.req("R01", control=sabotage_enabled)
def test_nothing_is_kept_without_a_live_trimmed_stream() -> None:
    """A plan without one leaves no trace of where trips begin and end; one with it does; clearing forgets all."""
    rig = Rig((rule("Test.A"),))
    rig.ignition("ON", 0).fix(ELSEWHERE, 1).ignition("OFF", 5)
    assert rig.memory.get(KEY) is None
    rig.swap(probe(), 300)
    rig.ignition("ON", 301).fix(ELSEWHERE, 302).ignition("OFF", 305)
    kept = rig.memory.get(KEY)
    assert kept is not None
    assert len(kept) == TAG_BYTES
    rig.trip.zones.clear()
    assert rig.memory.get(KEY) is None
    assert not rig.trip.zones.holds(rig.trip.zones.cell(ELSEWHERE))


def sabotage_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell's numbers in clear."""

    def cell(self: Zones, where: Position) -> bytes:
        row, column, _ = cell_of(where, ZONE_M, self._shift_m)
        return row.to_bytes(8, "big", signed=True) + column.to_bytes(8, "big", signed=True)

    monkeypatch.setattr(Zones, "cell", cell)


@pytest.mark.req("T11", control=sabotage_tags)
def test_a_tag_says_nothing_without_the_secret() -> None:
    """Neighbours have nothing in common; bytes of a tag are spread evenly; every cell of the country under another key misses."""
    one = zones()
    tags = [one.cell(Position(48 + i * 0.01, 11.0)) for i in range(256)]
    assert len(set(tags)) == 256
    common = [sum(a == b for a, b in zip(x, y, strict=True)) for x, y in itertools.pairwise(tags)]
    assert statistics.fmean(common) < 0.3
    ones = sum((byte).bit_count() for tag in tags for byte in tag)
    assert abs(ones / (256 * TAG_BYTES * 8) - 0.5) < 0.02
    guesses = zones(secret=b"a guess of the one who stole it.")
    assert not {guesses.cell(Position(47.5 + i * 0.01, 10.5 + j * 0.01)) for i in range(100) for j in range(100)} & set(tags)


def sabotage_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zones centred on the place."""
    original = Zones.__post_init__

    def centred(self: Zones) -> None:
        original(self)
        per_deg = cell_of(ELSEWHERE, ZONE_M)[2]
        self._shift_m = (
            ZONE_M / 2 - ELSEWHERE.lat_deg * EARTH_M_PER_DEG % ZONE_M,
            ZONE_M / 2 - ELSEWHERE.lon_deg * per_deg % ZONE_M,
        )

    monkeypatch.setattr(Zones, "__post_init__", centred)


@pytest.mark.req("R39", "T11", control=sabotage_shift)
def test_a_zone_is_not_centred_on_the_place() -> None:
    """Over secrets the place is spread evenly over its zone: 383 m from the middle on average, seldom near it, no side preferred."""
    draw = random.Random(5)
    offsets = [centre_offset(draw.randbytes(32), ELSEWHERE) for _ in range(2000)]
    away = [math.hypot(*offset) for offset in offsets]
    assert statistics.fmean(away) == pytest.approx(0.3826 * ZONE_M, rel=0.03)
    assert sum(distance < 100 for distance in away) / len(away) < 0.05
    for axis in (0, 1):
        values = [offset[axis] for offset in offsets]
        assert abs(statistics.fmean(values)) < 25
        assert max(map(abs, values)) <= ZONE_M / 2 + 1
        quarters = [sum(q * 250 - 500 <= value < q * 250 - 250 for value in values) for q in range(4)]
        assert max(quarters) - min(quarters) < 150


@given(st.floats(-80, 80), st.floats(-179, 179), st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40)), max_size=6))
def test_the_same_place_has_the_same_zone(lat: float, lon: float, jitter: list[tuple[float, float]]) -> None:
    """However often it is come back to, with a receiver's error: at most the four cells that meet there, never a new draw."""
    one = zones()
    per_deg = EARTH_M_PER_DEG * math.cos(math.radians(lat))
    tags = {one.cell(Position(lat + n / EARTH_M_PER_DEG, lon + e / per_deg)) for n, e in jitter}
    assert len(tags) <= 4
    assert one.cell(Position(lat, lon)) == zones().cell(Position(lat, lon))

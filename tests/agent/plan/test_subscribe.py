"""agent.plan.subscribe: what is asked of the bus is the wanted bits, often enough for all rules on an identifier, and no more."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cantools.database.can import Message, Signal
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.folders import config_folder
from agent.model import Demand
from agent.plan import subscribe
from agent.plan.compile import compile_plan
from agent.plan.subscribe import subscriptions
from agent.vehicle import Source, Vehicle, VehicleFile, load_vehicle
from agent.vss import IGNITION, LOCATION
from hw.ports import Subscription
from tests.agent.plan.build import all_on, without

EACH = Demand(throttle_ns=0, timeout_ns=5_000_000_000)


@pytest.fixture(scope="module")
def bench() -> Vehicle:
    return load_vehicle(config_folder() / "vehicles/bench")


def content(one: Subscription, payload: bytes) -> tuple[int, int] | None:
    """What the gate compares of a payload: None where it is not wanted at all (hw.ports.Mux)."""
    number = int.from_bytes(payload, "little")
    if one.mux is None:
        return 0, number & one.mask
    selected = number & one.mux.selector_mask
    return (selected, number & one.mux.cases[selected]) if selected in one.mux.cases else None


def encoded(message: Message, raw: Mapping[str, float]) -> bytes:
    return message.encode(dict(raw), scaling=False, strict=False)


def some_raw(signal: Signal, chance: random.Random) -> int:
    low = -(1 << (signal.length - 1)) if signal.is_signed else 0
    return low + chance.getrandbits(signal.length)


def differently(message: Message, raw: dict[str, int], signal: Signal) -> Iterator[bytes]:
    """The payload with each single bit of one signal turned over."""
    for bit in range(signal.length):
        turned = (raw[signal.name] & ((1 << signal.length) - 1)) ^ (1 << bit)
        signed = turned - (1 << signal.length) if signal.is_signed and turned >> (signal.length - 1) else turned
        yield encoded(message, raw | {signal.name: signed})


def sees_exactly(one: Subscription, message: Message, wanted: set[str], chance: random.Random) -> None:
    """A change of a wanted signal, of any of its bits, is seen; a change of any other is not. Under each selector, if there is one."""
    selector = next((signal for signal in message.signals if signal.is_multiplexer), None)
    for selected in range(1 << selector.length) if selector else [0]:
        raw = {signal.name: some_raw(signal, chance) for signal in message.signals} | ({selector.name: selected} if selector else {})
        before = content(one, encoded(message, raw))
        for signal in message.signals:
            if signal is selector or (signal.multiplexer_ids and selected not in signal.multiplexer_ids):
                continue
            for payload in differently(message, raw, signal):
                assert (content(one, payload) != before) == (signal.name in wanted), signal.name


def every_bit(signals: object) -> int:
    return (1 << 64) - 1


def whole_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribe, "_union", every_bit)


@pytest.mark.req("R25", control=whole_frame)
def test_every_message_of_the_bench_car_shows_its_wanted_bits_only(bench: Vehicle) -> None:
    """Against cantools' own encoder, with everything granted: each bit of each signal of each subscribed message."""
    plan = compile_plan(all_on(mapped=frozenset(bench.sources)))
    found = subscriptions(plan.wanted, bench)
    messages = {(source.bus, source.can_id): source.message for source in bench.sources.values()}
    chance = random.Random(7)
    partly = 0
    for one in found:
        wanted = {
            source.dbc.name
            for name, source in bench.sources.items()
            if (source.bus, source.can_id) == (one.bus, one.can_id) and name in plan.wanted
        }
        message = messages[one.bus, one.can_id]
        partly += len(wanted) < len(message.signals)
        sees_exactly(one, message, wanted, chance)
    assert partly > 3
    assert {(one.bus, one.can_id) for one in found} == {
        (source.bus, source.can_id) for name, source in bench.sources.items() if name in plan.wanted
    }


@pytest.mark.req("R25", "R22", "T01", control=without("in_policy", "entitled"))
def test_without_package_and_policy_only_the_ignition_is_read(bench: Vehicle) -> None:
    """--package none --consent unaccepted: one identifier, the ignition's bits."""
    plan = compile_plan(all_on(mapped=frozenset(bench.sources), package=None, acknowledged=None, grants={}, orders=frozenset()))
    found = subscriptions(plan.wanted, bench)
    assert len(found) == 1
    only = found[0]
    ignition = bench.sources[IGNITION]
    assert (only.bus, only.can_id) == (ignition.bus, ignition.can_id)
    sees_exactly(only, ignition.message, {ignition.dbc.name}, random.Random(7))


@pytest.mark.req("R25", control=without("basis_stands", "in_policy"))
def test_basic_without_grants_reads_no_door_and_no_gear(bench: Vehicle) -> None:
    """What only refused streams would need is not subscribed to."""
    plan = compile_plan(all_on(mapped=frozenset(bench.sources), package="basic", grants={}, orders=frozenset(), acknowledged="2026-11"))
    asked = {one.can_id for one in subscriptions(plan.wanted, bench)}
    assert bench.sources[IGNITION].can_id in asked
    for refused in ("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", "Vehicle.Powertrain.Transmission.SelectedGear", "Vehicle.Speed"):
        assert bench.sources[refused].can_id not in asked, refused


def test_receiver_and_agent_signals_are_no_frames(bench: Vehicle) -> None:
    """A wish for a position subscribes to nothing on the bus."""
    assert subscriptions({LOCATION: EACH, "Modicum.Health.Samples": EACH}, bench) == ()


# -- any layout -------------------------------------------------------------------------------------------------------


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """A message of 1 to 8 bytes whose signals of either byte order and sign do not overlap."""
    length = draw(st.integers(1, 8))
    taken: set[int] = set()
    found: list[Signal] = []
    for number in range(draw(st.integers(1, 6))):
        order = draw(st.sampled_from(["little_endian", "big_endian"]))
        signal = Signal(
            f"S{number}",
            start=draw(st.integers(0, 8 * length - 1)),
            length=draw(st.integers(1, 20)),
            byte_order=order,  # type: ignore[arg-type]  # one of its two words
            is_signed=draw(st.booleans()),
        )
        bits = _bits(signal)
        if max(bits) < 8 * length and not taken & bits:
            taken |= bits
            found.append(signal)
    return Message(frame_id=5, name="M", length=length, signals=found, strict=False)


def _bits(signal: Signal) -> set[int]:
    """Written the other way round than in the product: by walking bytes from the top for Motorola order."""
    if signal.byte_order == "little_endian":
        return {signal.start + n for n in range(signal.length)}
    top = 8 * (signal.start // 8) + 7 - signal.start % 8
    return {8 * (n // 8) + 7 - n % 8 for n in range(top, top + signal.length)}


def vehicle_of(message: Message) -> Vehicle:
    sources = {
        signal.name: Source(signal.name, "b", message.frame_id, message, signal, None, 1.0, 0.0, None, frozenset())
        for signal in message.signals
    }
    head = {"vehicle": {"title": "T"}, "buses": {}}
    return Vehicle(VehicleFile(**head), Path(), sources)  # type: ignore[arg-type]  # the head is not looked at


@pytest.mark.req("R25", control=whole_frame)
@settings(max_examples=150)
@given(messages(), st.data())
def test_any_layout_shows_its_wanted_bits_only(message: Message, data: st.DataObject) -> None:
    """Both byte orders, any place and length, any choice of what is wanted."""
    names = [signal.name for signal in message.signals]
    wanted = data.draw(st.sets(st.sampled_from(names), min_size=1)) if names else set()
    found = subscriptions(dict.fromkeys(wanted, EACH), vehicle_of(message))
    assert len(found) == bool(wanted)
    for one in found:
        sees_exactly(one, message, wanted, random.Random(data.draw(st.integers(0, 9))))


# -- multiplexed messages ---------------------------------------------------------------------------------------------

DBC = """VERSION ""
BU_: X
BO_ 256 MIXED: 8 X
 SG_ SELECT M : 0|4@1+ (1,0) [0|15] "" X
 SG_ ALWAYS : 4|4@1+ (1,0) [0|15] "" X
 SG_ A m0 : 8|16@1+ (1,0) [0|0] "" X
 SG_ B m1 : 15|16@0+ (1,0) [0|0] "" X
 SG_ C m2 : 40|8@1+ (1,0) [0|0] "" X
 SG_ A2 m0 : 40|8@1+ (1,0) [0|0] "" X
BO_ 512 NESTED: 8 X
 SG_ OUTER M : 0|4@1+ (1,0) [0|15] "" X
 SG_ INNER m1M : 8|4@1+ (1,0) [0|15] "" X
 SG_ DEEP m2 : 16|8@1+ (1,0) [0|0] "" X
 SG_ MUL m0 : 16|8@1+ (1,0) [0|0] "" X
SG_MUL_VAL_ 512 INNER OUTER 1-1;
SG_MUL_VAL_ 512 DEEP INNER 2-2;
SG_MUL_VAL_ 512 MUL OUTER 0-0;
"""
TOML = """[vehicle]
title = "T"
[buses.b]
dbc = ["m.dbc"]
[signals]
"V.Always" = { bus = "b", from = "MIXED.ALWAYS" }
"V.Select" = { bus = "b", from = "MIXED.SELECT" }
"V.A" = { bus = "b", from = "MIXED.A" }
"V.B" = { bus = "b", from = "MIXED.B" }
"V.C" = { bus = "b", from = "MIXED.C" }
"V.Deep" = { bus = "b", from = "NESTED.DEEP" }
"""


@pytest.fixture
def mixed(tmp_path: Path) -> Vehicle:
    (tmp_path / "m.dbc").write_text(DBC, encoding="utf-8")
    (tmp_path / "vehicle.toml").write_text(TOML, encoding="utf-8")
    vehicle = load_vehicle(tmp_path)
    assert vehicle.findings == []
    return vehicle


CASES: Mapping[int, Mapping[str, int]] = {0: {"A": 0x1234, "A2": 7}, 1: {"B": 0x4321}, 2: {"C": 9}}


@pytest.mark.parametrize("wanted", [{"A"}, {"B"}, {"A", "C"}, {"A", "B", "C"}])
def test_only_the_selectors_that_carry_a_wanted_signal_pass(mixed: Vehicle, wanted: set[str]) -> None:
    """Frames under another selector are not wanted; under one that is, only the wanted signal's bits count."""
    (one,) = subscriptions({f"V.{name}": EACH for name in wanted}, mixed)
    message = mixed.sources["V.A"].message
    for selector, case in CASES.items():
        raw = {"SELECT": selector, "ALWAYS": 5, **case}
        before = content(one, encoded(message, raw))
        assert (before is not None) == bool(wanted & case.keys())
        for name in case if before is not None else ():
            assert (content(one, encoded(message, raw | {name: raw[name] ^ 1})) != before) == (name in wanted)
        assert content(one, encoded(message, raw | {"ALWAYS": 6})) == before


def test_a_signal_outside_the_multiplexer_passes_under_every_selector(mixed: Vehicle) -> None:
    """Also under one that the DBC does not name, and together with a multiplexed one."""
    (one,) = subscriptions({"V.Always": EACH, "V.A": EACH}, mixed)
    for selector in range(16):
        low = content(one, bytes([selector | 0x50, 0x34, 0x12, 0, 0, 9, 0, 0]))
        assert low is not None
        assert content(one, bytes([selector | 0x60, 0x34, 0x12, 0, 0, 9, 0, 0])) != low
        assert (content(one, bytes([selector | 0x50, 0x35, 0x12, 0, 0, 9, 0, 0])) != low) == (selector == 0)
        assert content(one, bytes([selector | 0x50, 0x34, 0x12, 0, 0, 8, 0, 0])) == low


def test_the_selector_itself_can_be_wanted(mixed: Vehicle) -> None:
    """Then every selector passes, and nothing else of the frame counts."""
    (one,) = subscriptions({"V.Select": EACH}, mixed)
    seen = {content(one, bytes([selector, 1, 0, 0, 0, 0, 0, 0])) for selector in range(16)}
    assert len(seen) == 16
    assert content(one, bytes([3, 1, 0, 0, 0, 0, 0, 0])) == content(one, bytes([0xF3, 2, 9, 9, 9, 9, 9, 9]))


def test_nested_multiplexers_count_every_change_of_selector_or_signal(mixed: Vehicle) -> None:
    """More than one selector: no cases, but the selectors' bits belong to the content, and no other signal's do."""
    (one,) = subscriptions({"V.Deep": EACH}, mixed)
    assert one.mux is None
    before = content(one, bytes([1, 2, 7, 0, 0, 0, 0, 0]))
    assert content(one, bytes([1, 2, 8, 0, 0, 0, 0, 0])) != before
    assert content(one, bytes([0, 2, 7, 0, 0, 0, 0, 0])) != before
    assert content(one, bytes([1, 3, 7, 0, 0, 0, 0, 0])) != before
    assert content(one, bytes([0xF1, 0xF2, 7, 1, 1, 1, 1, 1])) == before


def test_nested_multiplexers_are_not_throttled(mixed: Vehicle) -> None:
    """Without cases the newest frame would stand for all of them, and one that never is the newest would never be seen."""
    demand = Demand(throttle_ns=1_000_000_000, timeout_ns=5_000_000_000)
    assert [one.throttle_ns for one in subscriptions({"V.Deep": demand, "V.A": demand}, mixed)] == [1_000_000_000, 0]


# -- merging ----------------------------------------------------------------------------------------------------------

DEMANDS = st.builds(Demand, throttle_ns=st.integers(0, 10**9), timeout_ns=st.integers(1, 10**12))


@given(DEMANDS, DEMANDS)
def test_two_wishes_on_one_identifier_become_the_faster(one: Demand, other: Demand) -> None:
    """Throttle and time-out are the smaller of both, in either order; the mask is the union."""
    signals = [Signal("S0", 0, 8), Signal("S1", 8, 8)]
    vehicle = vehicle_of(Message(frame_id=5, name="M", length=8, signals=signals))
    (merged,) = subscriptions({"S0": one, "S1": other}, vehicle)
    assert (merged.throttle_ns, merged.timeout_ns, merged.mask) == (
        min(one.throttle_ns, other.throttle_ns),
        min(one.timeout_ns, other.timeout_ns),
        0xFFFF,
    )
    assert subscriptions({"S1": other, "S0": one}, vehicle) == (merged,)


def test_a_stream_that_needs_it_sooner_speeds_the_identifier_up(bench: Vehicle) -> None:
    """The odometer: once a week for statistics, at every change for the distance of a report."""
    odometer = bench.sources["Vehicle.TraveledDistance"]

    def subscription(**changes: Any) -> Subscription:
        inputs = all_on(mapped=frozenset(bench.sources), orders=frozenset(), **changes)
        found = subscriptions(compile_plan(inputs).wanted, bench)
        return next(one for one in found if one.can_id == odometer.can_id)

    slow = subscription(package=None, services_off=frozenset({"service_process"}))
    fast = subscription(package="basic")
    assert slow.throttle_ns == 1_000_000_000
    assert fast.throttle_ns == 0
    assert fast.timeout_ns < slow.timeout_ns


def test_buses_are_kept_apart_and_in_order(bench: Vehicle) -> None:
    """The same plan gives the same subscriptions in the same order, sorted by bus and identifier."""
    wanted = compile_plan(all_on(mapped=frozenset(bench.sources))).wanted
    found = subscriptions(wanted, bench)
    assert [(one.bus, one.can_id) for one in found] == sorted((one.bus, one.can_id) for one in found)
    assert subscriptions(dict(reversed(list(wanted.items()))), bench) == found

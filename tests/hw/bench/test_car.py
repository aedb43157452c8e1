"""hw.bench.car and its messages: frames are the truth at their own time."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import can
import cantools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.bench.car import FRAMES_PER_S_MAX, STRANGER_IDS, BusOverload, Car, load_database, main, send_paced
from hw.bench.crc import sae_j1850
from hw.bench.group import free_udp_port, usable_group
from hw.bench.messages import ALWAYS_AWAKE, CONTENT, CONTENT_IN_TURN, FAULT_BITS, Values, fault_code
from hw.bench.pace import NS, Pace
from hw.bench.truth import CarState, Drive
from hw.ports import EXTENDED_ID, Frame
from tests.hw.bench.scenes import START_NS, drives, scene

DATABASE = load_database()
BY_ID = {message.frame_id | (EXTENDED_ID if message.is_extended_frame else 0): message for message in DATABASE.messages}


def said(state: CarState, name: str, k: int = 0) -> Values:
    return CONTENT[name](state) if name in CONTENT else CONTENT_IN_TURN[name](state, k)


def read(frame: Frame) -> dict[str, Any]:
    decoded: Any = BY_ID[frame.can_id].decode(frame.data, decode_choices=False)
    return dict(decoded)


@settings(max_examples=12)
@given(drive=drives(), at=st.integers(0, 1000))
def test_a_frame_gives_back_the_truth_within_half_a_step(drive: Drive, at: int) -> None:
    """Every signal of every message decodes to the state at the frame's own time, to half the DBC's resolution."""
    car = Car(drive, START_NS)
    begin_ns = START_NS + at * NS // 8
    seen = set()
    for frame in car.frames(begin_ns, begin_ns + NS):
        message = BY_ID[frame.can_id]
        seen.add(message.name)
        cycle_ns = (message.cycle_time or 0) * 1_000_000
        values = said(drive.state((frame.t_ns - START_NS) / NS), message.name, (frame.t_ns - START_NS) // cycle_ns)
        decoded = read(frame)
        for name, value in values.items():
            step = message.get_signal_by_name(name).scale
            assert decoded[name] == pytest.approx(float(value), abs=step / 2 + 1e-9), f"{message.name}.{name}"
    assert seen == set(CONTENT) | set(CONTENT_IN_TURN)


def plainly_encoded(state: CarState, name: str, k: int) -> bytes:
    """A frame by cantools alone."""
    message = DATABASE.get_message_by_name(name)
    values = said(state, name, k)
    names = {signal.name: signal.length for signal in message.signals}
    values |= {counter: k % (1 << names[counter]) for counter in ("ALIVE", "CNT") if counter in names}
    if "CRC" not in names:
        return message.encode(values)
    rest = message.encode(values | {"CRC": 0})[1:]
    return bytes([bitwise_crc(rest)]) + rest


@settings(max_examples=12)
@given(drive=drives(), at=st.integers(0, 1000))
def test_a_frame_has_the_bytes_of_cantools_plain_encode(drive: Drive, at: int) -> None:
    """Counter and CRC included, which are computed here bit by bit; cantools also sees that every value is in the DBC's range."""
    begin_ns = START_NS + at * NS // 8
    for frame in Car(drive, START_NS).frames(begin_ns, begin_ns + NS):
        message = BY_ID[frame.can_id]
        k = (frame.t_ns - START_NS) // ((message.cycle_time or 0) * 1_000_000)
        expected = plainly_encoded(drive.state((frame.t_ns - START_NS) / NS), message.name, k)
        assert frame.data == expected, message.name


@pytest.mark.parametrize(
    "values", [{"LEVEL": 100.5, "RANGE": 1}, {"LEVEL": -1, "RANGE": 1}, {"LEVEL": 1}, {"LEVEL": 1, "RANGE": 1, "TANK": 1}]
)
def test_values_that_are_not_the_message_s_are_no_frame(values: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of the range, one too few, one too many."""
    monkeypatch.setitem(cast("dict[str, Any]", CONTENT), "FUEL", lambda _: dict(values))
    with pytest.raises(cantools.database.EncodeError):
        list(Car(Drive.load("drive", 1), START_NS).frames(START_NS, START_NS + 5 * NS))


MEANS: dict[str, Callable[[CarState], float]] = {
    "MOTION.SPEED": lambda car: car.speed_kmh,
    "ODOMETER.TOTAL": lambda car: car.odometer_km,
    "ENGINE.RPM": lambda car: car.engine_rpm,
    "BATTERY.VOLTAGE": lambda car: car.battery_v,
    "FUEL.LEVEL": lambda car: car.fuel_percent,
    "FUEL.RANGE": lambda car: car.range_km,
    "FLUIDS.COOLANT": lambda car: car.coolant_c,
    "FLUIDS.OIL_TEMPERATURE": lambda car: car.oil_c,
    "FLUIDS.ENGINE_HOURS": lambda car: car.engine_hours_h,
    "GEARBOX.OIL_TEMPERATURE": lambda car: car.gearbox_c,
    "SERVICE.DISTANCE": lambda car: car.service_km,
    "SERVICE.DAYS": lambda car: car.service_left_days,
    "BRAKE_WEAR.FL": lambda car: car.brake_wear_fl_percent,
    "BRAKE_WEAR.FR": lambda car: car.brake_wear_fr_percent,
    "BRAKE_WEAR.RL": lambda car: car.brake_wear_rl_percent,
    "BRAKE_WEAR.RR": lambda car: car.brake_wear_rr_percent,
    "TYRES.PRESSURE_FL": lambda car: car.tyres_kpa[0],
    "TYRES.PRESSURE_FR": lambda car: car.tyres_kpa[1],
    "TYRES.PRESSURE_RL": lambda car: car.tyres_kpa[2],
    "TYRES.PRESSURE_RR": lambda car: car.tyres_kpa[3],
    "WIPER.INTENSITY": lambda car: car.wiper_intensity,
    "LIGHTS.FOG_FRONT": lambda car: car.fog_front,
    "LIGHTS.FOG_REAR": lambda car: car.fog_rear,
    "STABILITY.ABS_ACTIVE": lambda car: car.abs_active,
    "STABILITY.ESC_ACTIVE": lambda car: car.esc_active,
    "DOORS.OPEN_FL": lambda car: car.door_fl_open,
    "DOORS.OPEN_RR": lambda car: car.door_rr_open,
    "DOORS.WINDOW_RL": lambda car: car.window_rl_percent,
    "DOORS.WINDOW_OPEN_RL": lambda car: car.window_rl_percent > 0,
    "DOORS.LOCKED_FL": lambda car: car.locked,
    "ENVIRONMENT.OUTSIDE": lambda car: car.outside_c,
    "CRASH.DEPLOY": lambda car: {"none": 0, "deployed": 1, "invalid": 3}[car.deploy],
    "IGN.KL": lambda car: ["OFF", "ACC", "ON", "START"].index(car.ignition),
    "GEARBOX.LEVER": lambda car: "?PRND".index(car.gear),
}
"""Which number of the car a signal is, written down a second time."""


@pytest.mark.parametrize("seed", range(3))
def test_each_signal_says_what_its_name_says(seed: int) -> None:
    """Bus against physics, with every switch of the car thrown: no left for right, no km for miles."""
    odd: dict[str, Any] = {"abs_active": True, "wiper_intensity": 5, "fog_front": True, "door_rr_open": True, "locked": False}
    odd |= {"window_rl_percent": 35.0, "outside_c": -11.3, "deploy": "deployed", "gear": "N", "service_left_days": -4}
    drive = Drive(scene([(0, 0), (20, 70)], **odd), seed)
    car = Car(drive, START_NS)
    checked = set()
    for frame in car.frames(START_NS + 9 * NS, START_NS + 10 * NS):
        state, message = drive.state((frame.t_ns - START_NS) / NS), BY_ID[frame.can_id]
        for name, value in read(frame).items():
            meaning = MEANS.get(f"{message.name}.{name}")
            if meaning is not None:
                step = message.get_signal_by_name(name).scale
                assert value == pytest.approx(float(meaning(state)), abs=step / 2 + 1e-9), f"{message.name}.{name}"
                checked.add(f"{message.name}.{name}")
    assert checked == set(MEANS)


def test_the_odometer_is_exact_at_thousands() -> None:
    """Each multiple of 1,000 km comes back as exactly that number."""
    message = DATABASE.get_message_by_name("ODOMETER")
    for thousand in range(1600):
        decoded: Any = message.decode(message.encode({"TOTAL": thousand * 1000.0, "TRIP": 0}))
        assert decoded["TOTAL"] == thousand * 1000


def test_the_bus_carries_300_to_700_frames_a_second() -> None:
    """Every message comes at its cycle time, all of them together fast enough to be a real bus and slow enough for a small computer."""
    frames = list(Car(Drive.load("drive", 2), START_NS).frames(START_NS + NS, START_NS + 11 * NS))
    counts = Counter(BY_ID[frame.can_id].name for frame in frames)
    assert counts == {m.name: 10_000 // (m.cycle_time or 0) for m in DATABASE.messages}
    assert 3000 <= len(frames) <= 7000


def test_the_same_seed_gives_the_same_frames() -> None:
    """Twice the same bytes at the same times; another seed, others."""
    runs = [list(Car(Drive.load("drive", seed), START_NS).frames(START_NS, START_NS + 8 * NS)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@settings(max_examples=12)
@given(cuts=st.lists(st.integers(-500, 2500), min_size=2, max_size=6))
def test_windows_lie_side_by_side(cuts: list[int]) -> None:
    """Asking piece by piece gives what asking at once gives: nothing twice, nothing lost, in the order of time."""
    car = Car(Drive.load("drive", 1), START_NS)
    edges = [START_NS + cut * 1_000_000 for cut in sorted(cuts)]
    whole = list(car.frames(edges[0], edges[-1]))
    assert [frame for one, other in itertools.pairwise(edges) for frame in car.frames(one, other)] == whole
    assert [frame.t_ns for frame in whole] == sorted(frame.t_ns for frame in whole)
    assert all(frame.t_ns >= START_NS for frame in whole)


def test_safety_frames_count_and_are_signed() -> None:
    """CRASH and MOTION count every frame modulo 16 and carry the CRC of bytes 1 to 7."""
    frames = list(Car(Drive.load("drive", 1), START_NS).frames(START_NS, START_NS + 4 * NS))
    for name, counter in (("CRASH", "CNT"), ("MOTION", "ALIVE")):
        of_name = [frame for frame in frames if BY_ID[frame.can_id].name == name]
        counts = [read(frame)[counter] for frame in of_name]
        assert counts == [i % 16 for i in range(len(counts))]
        assert all(frame.data[0] == bitwise_crc(frame.data[1:]) for frame in of_name)


def bitwise_crc(data: bytes) -> int:
    """CRC-8 SAE J1850, bit by bit as long division."""
    register = 0xFF
    for bit in (byte >> i & 1 for byte in data for i in range(7, -1, -1)):
        register = (register << 1) ^ (0x11D if (register >> 7 & 1) ^ bit else 0)
        register &= 0xFF
    return register ^ 0xFF


def test_crc_has_the_published_check_value() -> None:
    """0x4B for the nine digits, as every catalogue of CRCs says."""
    assert sae_j1850(b"123456789") == bitwise_crc(b"123456789") == 0x4B


def test_a_parked_car_falls_silent() -> None:
    """With the ignition off only what stays awake is sent, and it says OFF."""
    car = Car(Drive(scene([(0, 0)], ignition="OFF", gear="P")), START_NS)
    frames = list(car.frames(START_NS, START_NS + 2 * NS))
    assert {BY_ID[frame.can_id].name for frame in frames} == ALWAYS_AWAKE
    assert {read(frame)["KL"] for frame in frames if BY_ID[frame.can_id].name == "IGN"} == {0}


def test_tyres_speak_in_turn() -> None:
    """Four frames, four wheels, and each selector comes with its own signals only."""
    frames = Car(Drive.load("drive", 1), START_NS).frames(START_NS, START_NS + NS)
    wheels = [read(frame) for frame in frames if BY_ID[frame.can_id].name == "TYRES"]
    assert [set(wheel) - {"WHEEL"} for wheel in wheels] == [{f"PRESSURE_{w}", f"WARMTH_{w}"} for w in ("FL", "FR", "RL", "RR")]


def test_faults_are_broadcast_as_count_set_and_codes() -> None:
    """Each fault stands in all three places; the two-byte code is that of SAE J2012."""
    assert (fault_code("P0171"), fault_code("C0035"), fault_code("U0100")) == (0x0171, 0x4035, 0xC100)
    trouble = said(Drive(scene([(0, 0)], faults=["P0171", "C0035"])).state(1), "TROUBLE")
    assert (trouble["COUNT"], trouble["SET"], trouble["CODE_1"], trouble["CODE_3"]) == (2, 5, 0x0171, 0)
    assert len(FAULT_BITS) == 3


def noisy(per_s: float, seed: int = 1) -> Car:
    return Car(Drive.load("drive", seed), START_NS, noise_per_s=per_s)


def strangers(car: Car, begin_ns: int, end_ns: int) -> list[Frame]:
    return [frame for frame in car.frames(begin_ns, end_ns) if frame.can_id not in BY_ID]


@pytest.mark.parametrize("per_s", [0.5, 7, 333.3, 3600])
def test_noise_is_as_much_as_asked_for(per_s: float) -> None:
    """Eight bytes on eleven-bit identifiers that the DBC does not have."""
    noise = strangers(noisy(per_s), START_NS, START_NS + 10 * NS)
    assert len(noise) == pytest.approx(10 * per_s, abs=1)
    assert {len(frame.data) for frame in noise} == {8}
    assert {frame.can_id for frame in noise} <= set(STRANGER_IDS) - set(BY_ID)


def test_noise_is_evenly_paced() -> None:
    """Between two frames of noise, and between two of one identifier, the time is the same to a microsecond."""
    noise = strangers(noisy(900), START_NS, START_NS + NS)
    for frames in (noise, [frame for frame in noise if frame.can_id == noise[0].can_id]):
        gaps = [later.t_ns - frame.t_ns for frame, later in itertools.pairwise(frames)]
        assert len(gaps) > 20
        assert max(gaps) - min(gaps) <= 1000


def test_noise_leaves_the_car_s_own_frames_alone() -> None:
    """They are the same at the same times, and all frames together are in the order of time."""
    frames = list(noisy(2500).frames(START_NS, START_NS + 2 * NS))
    assert [frame for frame in frames if frame.can_id in BY_ID] == list(noisy(0).frames(START_NS, START_NS + 2 * NS))
    assert [frame.t_ns for frame in frames] == sorted(frame.t_ns for frame in frames)


@given(cuts=st.lists(st.integers(-NS // 2, 2 * NS), max_size=5).map(sorted), per_s=st.floats(1, 3500))
@settings(max_examples=20)
def test_noise_is_the_same_whatever_window_it_is_asked_for_in(cuts: list[int], per_s: float) -> None:
    """Piece by piece nothing is lost, doubled or changed; before the drive there is none."""
    car, ends = noisy(per_s), [-NS, *cuts, 2 * NS]
    pieces = [strangers(car, START_NS + begin, START_NS + end) for begin, end in itertools.pairwise(ends)]
    assert list(itertools.chain(*pieces)) == strangers(noisy(per_s), START_NS, START_NS + 2 * NS)


def test_another_seed_is_other_noise() -> None:
    """In identifiers, bytes and phase; the same seed is the same noise."""
    first, again, other = (strangers(noisy(50, seed), START_NS, START_NS + NS) for seed in (1, 1, 2))
    assert first == again
    assert first[0].t_ns != other[0].t_ns
    assert not {frame.data for frame in first} & {frame.data for frame in other}


def test_a_bus_carries_no_more_than_it_can() -> None:
    """Up to 4,250 frames a second with the car's own among them; the refusal says how much noise there is room for."""
    own = sum(1000 / (message.cycle_time or 0) for message in DATABASE.messages)
    assert len(list(noisy(FRAMES_PER_S_MAX - own).frames(START_NS, START_NS + NS))) == pytest.approx(FRAMES_PER_S_MAX, abs=2)
    for per_s in (FRAMES_PER_S_MAX - own + 1, -1, float("nan")):
        with pytest.raises(BusOverload, match=f"0 to {FRAMES_PER_S_MAX - own:.0f}"):
            noisy(per_s)


class Deaf:
    """A bus of python-can that carries nothing longer than eight bytes."""

    def __init__(self) -> None:
        self.sent: list[can.Message] = []

    def send(self, message: can.Message) -> None:
        if message.is_fd:
            raise can.CanOperationError("no FD here")
        self.sent.append(message)


def test_a_bus_that_refuses_does_not_stop_the_car() -> None:
    """Refused frames are counted, the others go on; extended identifiers keep their kind."""
    pace, bus = Pace(), Deaf()
    car = Car(Drive.load("drive", 1), pace.now_ns() + NS)
    stop_ns = car.start_ns + NS
    due = Counter(len(frame.data) > 8 for frame in car.frames(car.start_ns, stop_ns))
    counts = send_paced(car, bus, pace, stop_ns)  # type: ignore[arg-type]  # all that a sender asks of a bus
    assert (counts["frames"], counts["refused"], counts["skipped"]) == (due[False], due[True], 0)
    assert len(bus.sent) == counts["frames"]
    assert {m.is_extended_id for m in bus.sent if m.arbitration_id == 0x18FECA00} == {True}


def test_what_was_sent_is_kept() -> None:
    """And not what the bus refused."""
    pace, bus, kept = Pace(), Deaf(), list[Frame]()
    car = Car(Drive.load("drive", 1), pace.now_ns())
    counts = send_paced(car, bus, pace, car.start_ns + NS // 2, kept.append)  # type: ignore[arg-type]  # as above
    assert counts["refused"] > 0
    assert [(frame.can_id & ~EXTENDED_ID, frame.data) for frame in kept] == [(m.arbitration_id, bytes(m.data)) for m in bus.sent]


def test_a_suspended_computer_does_not_make_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more than a second late is skipped and counted."""
    pace, bus = Pace(), Deaf()
    car = Car(Drive.load("drive", 1), pace.now_ns())
    slept = {"ns": 0}
    now_ns = pace.now_ns
    monkeypatch.setattr(pace, "now_ns", lambda: now_ns() + slept["ns"])
    threading.Timer(0.3, lambda: slept.update(ns=60 * NS)).start()
    counts = send_paced(car, bus, pace, car.start_ns + 10 * NS)  # type: ignore[arg-type]  # as above
    assert counts["skipped"] > 8 * 400
    assert counts["frames"] + counts["refused"] < 300


def test_the_program_sends_on_time_and_ends_when_told() -> None:
    """Over multicast another socket sees the very frames of the drive, without drift; SIGTERM ends it with its counts."""
    port = free_udp_port()
    group = usable_group(port)
    start_ns = time.time_ns() + 2 * NS
    command = [sys.executable, "-m", "hw.bench.car", "--channel", group, "--port", str(port), "--seed", "3", "--start-ns", str(start_ns)]
    with (
        can.Bus(interface="udp_multicast", channel=group, port=port, hop_limit=0) as bus,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program,
    ):
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        got = list(itertools.takewhile(lambda m: m.timestamp * NS < start_ns + 2.5 * NS, iter(lambda: bus.recv(8), None)))
        program.terminate()
        counts = json.loads(program.stdout.read())
        assert program.wait(5) == 0
    due = {(f.can_id & ~EXTENDED_ID, bytes(f.data)) for f in Car(Drive.load("drive", 3), start_ns).frames(start_ns, start_ns + 3 * NS)}
    assert len(got) > 350
    assert all((message.arbitration_id, bytes(message.data)) in due for message in got)
    assert counts["refused"] == 0
    assert counts["frames"] >= len(got)


def test_arguments_that_are_no_good_have_their_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    """2 for scenario, noise and recording, 5 for the bus, one line on stderr."""
    assert main(["--channel", "x", "--scenario", "nowhere"]) == 2
    assert main(["--channel", "x", "--noise", "9999"]) == 2
    assert main(["--interface", "virtual", "--channel", "x", "--record", "drive.pdf"]) == 2
    assert main(["--interface", "socketcan", "--channel", "nocan9"]) == 5
    assert capsys.readouterr().err.count("\n") == 4

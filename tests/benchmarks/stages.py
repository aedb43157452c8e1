"""What one frame, record or message costs at each stage, next to the part that one would use there without the agent."""

from __future__ import annotations

import json
import sqlite3
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import can
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from agent.body import pack
from agent.buffer.store import Buffer
from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.clock import NS
from agent.consent.choice import Choice
from agent.core.virtual import Scene, VirtualRun
from agent.envelope import open_envelope, seal_envelope, sender_for
from agent.model import Draft, Sample
from agent.seal.keyring import Keyring
from agent.storage.sqlite import open_database
from agent.vehicle import Vehicle, load_vehicle
from hw.can.gate import Gate
from hw.can.replay import log_frames
from hw.ports import Frame, Subscription
from tests.benchmarks import traffic
from tests.benchmarks.measure import ratios_us, table
from tests.benchmarks.replay import VEHICLE
from tests.support.samples import BOOT, PLAN, RULE

SECONDS = 60.0
FRAMES = 20_000
APART_NS = 10 * NS
"""Between two frames of the gate's own rows: more than any throttle."""
RECORDS = 200
SIGNALS, SECONDS_EACH = 30, 10
SECRET = b"a secret of the benchmarks, 32 B"
Row = tuple[str, str, tuple[float, float]]


def main(_options: Namespace) -> None:
    """Prints one table."""
    vehicle = load_vehicle(VEHICLE)
    run = _run(vehicle)
    frames = list(traffic.car(SECONDS))
    with tempfile.TemporaryDirectory(prefix="modicum-benchmark-") as name:
        folder = Path(name)
        found = [_reading(folder, frames), *_gates(run, vehicle), _decoding(run, vehicle, frames), _appending(folder), *_sealing()]
    rows = [[ours, f"{us:.2f}", peer, f"{peer_us:.2f}", f"{peer_us / us:.2f} x"] for ours, peer, (us, peer_us) in found]
    table("One at a time, us of CPU (append: us of wall time)", ("ours", "us", "the plain part", "us", "plain : ours"), rows)


def _run(vehicle: Vehicle) -> VirtualRun:
    scene = Scene(
        catalogue=load_catalogue(shipped_catalogue()),
        vehicle=vehicle,
        package="navigation_plus",
        choice=Choice(True, None),
        vin="",
        seed=b"benchmark",
        start_ns=traffic.START_NS,
    )
    return VirtualRun(scene)


def _reading(folder: Path, frames: list[Frame]) -> Row:
    log = folder / "car.log"
    traffic.candump(frames, log)

    def ours() -> None:
        for _ in log_frames(log, lambda _: "pt"):
            pass

    def theirs() -> None:
        with can.LogReader(log) as reader:
            for _ in reader:
                pass

    return "candump line to Frame", "python-can LogReader, to Message", ratios_us(ours, theirs, len(frames))


def _gates(run: VirtualRun, vehicle: Vehicle) -> list[Row]:
    """One message: not subscribed, subscribed and unchanged, subscribed and changed each time. The peer decodes it."""
    source = vehicle.sources["Vehicle.Speed"]
    wanted = next(one for one in run.core.wanted() if one.can_id == source.can_id)
    still = [Frame("pt", wanted.can_id, bytes(8), traffic.START_NS + n * APART_NS) for n in range(FRAMES)]
    lively = [Frame("pt", wanted.can_id, bytes(2) + n.to_bytes(2, "little") + bytes(4), frame.t_ns) for n, frame in enumerate(still)]

    def decoded() -> None:
        for frame in lively:
            source.message.decode(frame.data)

    return [
        (f"gate: {name}", "cantools decode of it", ratios_us(_fed(subscriptions, frames), decoded, FRAMES))
        for name, subscriptions, frames in (
            ("nobody wants it", [one for one in run.core.wanted() if one is not wanted], still),
            ("wanted, unchanged", [wanted], still),
            ("wanted, changed, delivered", [wanted], lively),
        )
    ]


def _fed(subscriptions: list[Subscription], frames: list[Frame]) -> Callable[[], None]:
    def feed() -> None:
        gate = Gate(subscriptions)
        for frame in frames:
            gate.feed(frame)

    return feed


def _decoding(run: VirtualRun, vehicle: Vehicle, frames: list[Frame]) -> Row:
    """Frames of subscribed messages, in the proportions in which the car sends them."""
    decoder, messages = run.core.decoder, {source.can_id: source.message for source in vehicle.sources.values()}
    wanted = {one.can_id for one in run.core.wanted()}
    some = [frame for frame in frames if frame.can_id in wanted]

    def ours() -> None:
        for frame in some:
            decoder.decode(frame)

    def theirs() -> None:
        for frame in some:
            messages[frame.can_id].decode(frame.data)

    return "delivered frame to wanted readings", "cantools decode, its defaults", ratios_us(ours, theirs, len(some))


def _draft(number: int) -> Draft:
    """Ten seconds of thirty signals."""
    start_ns = traffic.START_NS + number * 10 * NS
    samples = [
        Sample(rule, round(20 + signal + (number + second) % 7 * 0.1, 1), start_ns + second * NS)
        for second in range(SECONDS_EACH)
        for signal, rule in enumerate(RULES)
    ]
    return Draft(tuple(samples), PLAN, BOOT, trusted=True)


NAMES = [f"Vehicle.Benchmark.Part{number}.Value" for number in range(SIGNALS)]
RULES = [replace(RULE, id=f"dense/{name}", stream="thirty", signal=name, window_s=10, recipient="desk") for name in NAMES]
UNITS = {rule.signal: "km/h" for rule in RULES}


def _appending(folder: Path) -> Row:
    """Durable both: the plain peer writes the same samples as JSON, unsealed, with the standard library's SQLite."""
    keyring = Keyring.create(folder, SECRET)
    buffer = Buffer(open_database(folder / "buffer.db", keyring.database_key("buffer"), "buffer"), keyring, units=UNITS)
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE records (n INTEGER PRIMARY KEY, body BLOB)")
    spans: list[tuple[float, float]] = []
    for number in range(RECORDS):
        draft = _draft(number)
        began = time.perf_counter()
        buffer.append([draft])
        between = time.perf_counter()
        plain.execute("INSERT INTO records (body) VALUES (?)", (_json(draft),))
        spans.append(((between - began) * 1e6, (time.perf_counter() - between) * 1e6))
    plain.close()
    medians = statistics.median(ours for ours, _ in spans), statistics.median(theirs for _, theirs in spans)
    return f"append {SIGNALS * SECONDS_EACH} samples: pack, seal, durable", "the same as JSON, plain SQLite, durable", medians


def _sealing() -> list[Row]:
    """The envelope adds to bare HPKE: header, padding, key id, signature of the sender."""
    private = X25519PrivateKey.generate()
    public, sender = private.public_key(), sender_for(lambda info: (info + SECRET)[:32], "desk")
    key, secret = public.public_bytes_raw(), private.private_bytes_raw()
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    draft = _draft(0)
    body = pack(draft.samples, UNITS, draft.boot, draft.trusted)

    def sealed() -> bytes:
        return seal_envelope(
            recipient_key=key,
            service="dense",
            stream="thirty",
            purpose="operations",
            policy="2026-11",
            body=body,
            sender=sender,
            store_epoch=b"e" * 8,
            seq=1,
        )

    envelope, bare = sealed(), suite.encrypt(body, public)
    return [
        (
            f"pack {len(draft.samples)} samples",
            "json.dumps of them",
            _compared(lambda: pack(draft.samples, UNITS, b"", trusted=True), lambda: _json(draft)),
        ),
        (f"envelope around {len(body)} bytes", "bare HPKE", _compared(sealed, lambda: suite.encrypt(body, public))),
        ("open an envelope", "bare HPKE", _compared(lambda: open_envelope(envelope, secret), lambda: suite.decrypt(bare, private))),
    ]


def _compared(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    return ratios_us(_often(ours), _often(theirs), RECORDS)


def _json(draft: Draft) -> str:
    return json.dumps([{"t": one.t_ns / 1e9, "signal": one.rule.signal, "value": one.value} for one in draft.samples])


def _often(work: Callable[[], object]) -> Callable[[], None]:
    def again() -> None:
        for _ in range(RECORDS):
            work()

    return again

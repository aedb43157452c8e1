"""The whole pipeline in one process on a clock that the data sets: replays, and the bench at full speed.

Same Core, same sealing, same envelopes as in the car; only the devices and the broker are absent. Recipients open
what they receive with their own throw-away keys, so `received` is what could be read, not what was meant.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.audit import Audit
from agent.buffer.store import Buffer
from agent.catalogue.types import Catalogue
from agent.clock import NS, SetClock
from agent.collect.decode import DecodeCounters
from agent.collect.respond import Responder
from agent.consent.choice import DRIVER, Choice, apply_choice
from agent.consent.ledger import Ledger
from agent.consent.state import Kind
from agent.core.core import Core
from agent.core.deliver import Outgoing
from agent.core.parts import Parts
from agent.core.recipients import Recipient
from agent.envelope import open_envelope, received_lines
from agent.errors import UsageError
from agent.model import Value
from agent.seal.keyring import Keyring
from agent.storage.memory import DictMemory
from agent.storage.sqlite import open_database
from agent.vehicle import Vehicle
from agent.vss import HEALTH, IGNITION
from hw.can.gate import Gate
from hw.ports import Fix, Frame

STEP_NS = NS
"""Time without any frame is looked at this often, in the data's own time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a virtual run is about. `seed` decides every secret and id of the device; `compare_vin`: as of `Parts`.

    `profiles`: drivers beside the one that `choice` is of. `sole_driver`: as of `Parts`; None where whoever drives is confirmed.
    """

    catalogue: Catalogue
    vehicle: Vehicle
    package: str | None
    choice: Choice
    vin: str
    seed: bytes
    start_ns: int
    compare_vin: bool = True
    profiles: Mapping[str, Kind] = field(default_factory=dict)
    sole_driver: str | None = DRIVER


@dataclass(slots=True)
class Received:
    """What the recipients got."""

    lines: list[dict[str, object]] = field(default_factory=list)
    envelopes: list[tuple[str, str, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class VirtualRun:
    """A run. `feed` items in order of time, then `finish`; `received` grows as envelopes are opened."""

    scene: Scene
    clock: SetClock = field(init=False)
    gate: Gate = field(init=False)
    core: Core = field(init=False)
    keys: dict[str, bytes] = field(init=False)
    notes: list[str] = field(default_factory=list)
    received: Received = field(default_factory=Received)
    fixes: int = 0
    _stepped_ns: int = 0

    def __post_init__(self) -> None:
        scene = self.scene
        self.clock = SetClock(scene.start_ns)
        self.gate = Gate()
        self.keys = {name: self._secret(f"recipient/{name}") for name in sorted(scene.catalogue.recipients())}
        profiles = random.Random(self._secret("profiles"))  # noqa: S311  as below
        keyring = Keyring.create(None, self._secret("credential"), device_secret=self._secret("device"), draw=profiles.randbytes)
        database = open_database(None, keyring.database_key("ledger"), "ledger")
        source = random.Random(self._secret("random"))  # noqa: S311  a run must repeat exactly; no real device uses it
        ledger = Ledger(database, keyring, self.clock, source.randbytes)
        if scene.package is not None and scene.package not in scene.catalogue.packages:
            known = ", ".join(sorted(scene.catalogue.packages))
            raise UsageError(f"no package {scene.package}", "--package", f"use none or one of {known}")
        ledger.set_package(scene.package)
        self.notes += apply_choice(scene.choice, ledger, scene.catalogue, scene.start_ns // 1_000_000)
        for name, kind in scene.profiles.items():
            ledger.add_profile(name, kind)
        units = scene.catalogue.units()
        stored = open_database(None, keyring.database_key("buffer"), "buffer")
        memory = DictMemory()
        parts = Parts(
            catalogue=scene.catalogue,
            vehicle=scene.vehicle,
            clock=self.clock,
            keyring=keyring,
            ledger=ledger,
            audit=Audit(database, keyring, self.clock),
            buffer=Buffer(stored, keyring, units=units, store_epoch=self._secret("store")[:8]),
            memory=memory,
            recipients={name: Recipient(_public(key), "local") for name, key in self.keys.items()},
            regions=None,
            vin=scene.vin,
            prefix="modicum",
            new_id=lambda: source.randbytes(16).hex(),
            responder=Responder(memory, source),
            sole_driver=scene.sole_driver,
            compare_vin=scene.compare_vin,
        )
        self.core = Core(parts, lambda wanted: self.gate.swap(wanted, self.clock.now_ns()), self._agent_signals)
        if IGNITION not in self.core.situation.given:
            self.core.ignite(on=True, t_ns=scene.start_ns)
        self.core.pipeline.start(scene.start_ns)
        self._stepped_ns = scene.start_ns

    def feed(self, item: Frame | Fix) -> None:
        """One frame or one epoch of the receiver, not earlier than the one before."""
        t_ns = item.t_ns
        due = self.gate.next_due_ns()
        if t_ns >= self._stepped_ns + STEP_NS or (due is not None and t_ns >= due):
            self.step(t_ns)
        if isinstance(item, Frame):
            delivered = self.gate.feed(item)
            if delivered is not None:
                self.clock.set(t_ns)
                self.core.frame(delivered)
        else:
            self.clock.set(t_ns)
            self.fixes += 1
            self.core.fix(item)

    def step(self, t_ns: int) -> None:
        """Time has come to `t_ns`: what the gate held or missed, then core's own work, then delivery."""
        for moment in self._moments(t_ns):
            self.clock.set(moment)
            for held in self.gate.due(moment):
                if isinstance(held, Frame):
                    self.core.frame(held)
                else:
                    self.core.silence(held)
            self.core.step()
            self.deliver()
        self._stepped_ns = t_ns

    def finish(self) -> None:
        """The data is over: open windows end, everything is delivered."""
        self.step(self.clock.now_ns())
        self.core.pipeline.flush()
        self.core.keep()
        self.deliver()

    def deliver(self) -> None:
        """Hands every waiting envelope to its recipient, which opens it with its own key."""
        delivery = self.core.delivery
        lanes = delivery.lanes()
        while offers := delivery.next_offers(lanes, self.clock.now_ns()):
            for outgoing in offers:
                self._receive(outgoing)
            delivery.settle([outgoing.stored.n for outgoing in offers], self.clock.now_ns())

    def _agent_signals(self) -> dict[str, Value]:
        """The run's own `Modicum.Health.*`; core is asked for them while it is being made, too."""
        core: Core | None = getattr(self, "core", None)
        counters = core.decoder.counters if core else DecodeCounters()
        return {
            f"{HEALTH}FramesRead": self.gate.wanted + self.gate.unwanted,
            f"{HEALTH}FramesShort": self.gate.short,
            f"{HEALTH}ReadingsInvalid": counters.invalid,
            f"{HEALTH}Samples": len(self.received.lines),
            f"{HEALTH}RecordsWaiting": 0,
            f"{HEALTH}Findings": 0,
            f"{HEALTH}Starts": 1,
        }

    def _receive(self, outgoing: Outgoing) -> None:
        opened = open_envelope(outgoing.payload, self.keys[outgoing.stored.recipient])
        stream = outgoing.stored.stream
        self.received.envelopes.append((stream, outgoing.topic, outgoing.payload))
        order = sum(name == stream for name, _, _ in self.received.envelopes)
        self.received.lines.extend(received_lines(opened, order))

    def _moments(self, t_ns: int) -> Iterator[int]:
        """Whole steps up to `t_ns`, so that a gap in the data passes as time passes in a car."""
        moment = self._stepped_ns + STEP_NS
        while moment < t_ns:
            yield moment
            moment += STEP_NS
        yield t_ns

    def _secret(self, name: str) -> bytes:
        return hashlib.sha256(b"modicum/virtual/1" + self.scene.seed + name.encode()).digest()


def _public(key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()

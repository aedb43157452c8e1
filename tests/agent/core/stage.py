"""A whole core on a clock that the test sets: real keyring, databases, buffer, ledger and audit log in a folder.

Only time and the far end of the link are doubles. `Stage` is one start of the device; `again` is the next one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.audit import Audit
from agent.buffer.store import Buffer
from agent.catalogue.load import load_catalogue, policies_folder
from agent.clock import NS, RELEASE_NS, SetClock
from agent.collect.respond import Responder
from agent.consent.ledger import Ledger
from agent.control.routes import ROUTES
from agent.core.core import Core
from agent.core.loop import Asked, Linked, Loop
from agent.core.parts import Parts
from agent.core.recipients import Recipient
from agent.envelope import Opened, open_envelope
from agent.folders import config_folder
from agent.link import Ack, Lane, Link, Message, Offer, State, TakeBack, pair
from agent.seal.keyring import Keyring
from agent.storage.memory import Memory
from agent.storage.sqlite import open_database, rows
from agent.vehicle import Vehicle, load_vehicle
from hw.ports import Fix, Frame
from tests.agent.catalogue.trees import Tree, write

CREDENTIAL = b"c" * 32
VIN = "WMWTESTCAR0000001"
POLICY = "2026-11"
START_NS = RELEASE_NS + 86_400 * NS
SPEED, PLACE, WEAR, TRIMMED, MINUTE, EXTRA = "a.speed", "a.place", "a.wear", "a.trimmed", "a.minute", "b.extra"
ITEMS = {"x.speed": ("movement", False), "x.place": ("position", True), "x.trimmed": ("position", True)}
KEYS = {name: X25519PrivateKey.from_private_bytes(name.ljust(32, ".").encode()) for name in ("someone", "other")}


def one(stream: str, signal: str, *, item: str = "", identity: str = "pairwise", **more: Any) -> dict[str, Any]:
    """A stream of one signal each second."""
    steps = more.pop("steps", [])
    basis = {"basis": "consent", "consent": item} if item else {"basis": "contract"}
    head = {
        "id": stream,
        "purpose": "service",
        "identity": identity,
        "recipient": "someone",
        "triggers": ["periodic"],
        "every_s": 1,
        "keep": "1h",
    }
    return head | basis | more | {"signal": [{"id": signal, "transforms": steps}]}


GRID = [{"grid_m": 200}]
TREE: Tree = {
    "signals.toml": {
        "signals": {
            "Vehicle.Speed": {"unit": "km/h", "category": "movement"},
            "Vehicle.TraveledDistance": {"unit": "km", "category": "status"},
            "Vehicle.CurrentLocation": {"unit": "degrees", "category": "position", "sensitive": True},
        }
    },
    "purposes.toml": {"purposes": {"service": {"title": "Service", "dpv": "RequestedServiceProvision", "max_keep": "30d"}}},
    "consent.toml": {
        "items": {name: {"title": name, "category": kind, "sensitive": flag, "max_term": "365d"} for name, (kind, flag) in ITEMS.items()}
    },
    "packages.toml": {"packages": {"one": {"title": "One", "services": ["a"]}, "two": {"title": "Two", "services": ["a", "b"]}}},
    "services/a.toml": {
        "service": {"id": "a", "title": "A"},
        "stream": [
            one("speed", "Vehicle.Speed", item="x.speed"),
            one("minute", "Vehicle.Speed", item="x.speed", window_s=60),
            one("place", "Vehicle.CurrentLocation", item="x.place", identity="none", steps=GRID),
            one("trimmed", "Vehicle.CurrentLocation", item="x.trimmed", identity="none", steps=[{"trim_trip_m": 500}, *GRID]),
            one("wear", "Vehicle.TraveledDistance", identity="vin", recipient="other", keep="30d"),
        ],
    },
    "services/b.toml": {"service": {"id": "b", "title": "B"}, "stream": [one("extra", "Vehicle.TraveledDistance", keep="30d")]},
    f"policies/{POLICY}/policy.toml": {
        "version": POLICY,
        "effective": "DATE",
        "text": {"en": "policy.en.md"},
        "purposes": ["service"],
        "categories": ["position", "status", "movement"],
        "recipients": ["someone", "other"],
        "contact": "someone@example",
    },
}


class StageClock(SetClock):
    """Has no sources of its own, and never leaps."""

    offset_ns = 0

    def leapt(self) -> None: ...

    def poll(self) -> None: ...

    def observe_gnss(self, utc_ns: int, satellites: int) -> None: ...


@functools.cache
def vehicle(*, tells_vin: bool = False) -> Vehicle:
    """The bench's car; without the frame that tells its VIN, unless a test is about that."""
    loaded = load_vehicle(config_folder() / "vehicles" / "bench")
    if not tells_vin:
        del loaded.sources["Vehicle.VehicleIdentification.VIN"]
    return loaded


class Stage:
    """One start of a device in `folder`. `online`: whether the lanes of the link's double say so."""

    def __init__(
        self, folder: Path, *, package: str | None = "two", tree: Tree | None = None, start_ns: int = START_NS, tells_vin: bool = False
    ) -> None:
        self.folder, self.clock, self.tells_vin = folder, StageClock(start_ns), tells_vin
        self.first = not (folder / "keys.block").exists()
        if self.first:
            write(tree or TREE, folder / "catalogue")
        self.keyring = Keyring.create(folder, CREDENTIAL) if self.first else Keyring.open(folder, CREDENTIAL)
        self.db = open_database(folder / "ledger.db", self.keyring.database_key("ledger"), "ledger")
        self.rows_db = open_database(folder / "buffer.db", self.keyring.database_key("buffer"), "buffer")
        self.ledger, self.audit = Ledger(self.db, self.keyring, self.clock), Audit(self.db, self.keyring, self.clock)
        if self.first:
            self.ledger.accept_policy(POLICY, "test")
            self.ledger.set_package(package)
        self.memory = Memory(self.db)
        self.catalogue = load_catalogue(folder / "catalogue")
        self.buffer = Buffer(self.rows_db, self.keyring, units=self.catalogue.units())
        self.subscribed: list[Any] = []
        self.core = Core(self._parts(), self.subscribed.append)
        self.loop = Loop(self.core, self.clock, ROUTES, lambda _: None)  # type: ignore[arg-type]  # a clock that the test sets
        self.far: Link | None = None
        self.offers: list[Offer] = []
        self.said: list[Message] = []

    def _parts(self) -> Parts:
        count = itertools.count(self.clock.now_ns())
        return Parts(
            catalogue=self.catalogue,
            vehicle=vehicle(tells_vin=self.tells_vin),
            clock=self.clock,
            keyring=self.keyring,
            ledger=self.ledger,
            audit=self.audit,
            buffer=self.buffer,
            memory=self.memory,
            recipients={name: Recipient(key.public_key().public_bytes_raw(), "CN") for name, key in KEYS.items()},
            regions=frozenset({"CN"}),
            vin=VIN,
            prefix="m",
            new_id=lambda: f"{next(count):032x}",
            responder=Responder(self.memory),
            policies_folder=policies_folder(self.folder / "catalogue"),
        )

    # -- the car ------------------------------------------------------------------------------------------------------

    def frame(self, name: str, **signals: float) -> None:
        """A frame of the bench car now; other signals of it are 0."""
        message = next(source.message for source in vehicle(tells_vin=True).sources.values() if source.message.name == name)
        values = {signal.name: 0 for signal in message.signals} | signals
        data = message.encode(values, scaling=True, strict=False)
        self.core.frame(Frame("pt", message.frame_id, data, self.clock.now_ns()))

    def ignition(self, on: bool) -> None:
        self.frame("IGN", KL=2 if on else 0)

    def fix(self, lat: float = 31.2, lon: float = 121.4) -> None:
        self.core.fix(Fix(self.clock.now_ns(), mode=3, lat_deg=lat, lon_deg=lon, speed_mps=10.0, course_deg=90.0, satellites=9))

    def wait(self, seconds: float) -> None:
        """Time passes in one go, then core looks."""
        self.clock.set(self.clock.now_ns() + round(seconds * NS))
        self.core.step()

    def drive(self, seconds: int = 1, *, speed: float = 50.0) -> None:
        """Each second, in its middle: speed, odometer, a fix; at its end a step. So no reading lies on a multiple."""
        for _ in range(seconds):
            self.clock.set(self.clock.now_ns() + NS // 2)
            self.frame("MOTION", SPEED=speed)
            self.frame("ODOMETER", TOTAL=1234.5)
            self.fix()
            self.wait(0.5)

    def trip_of(self, name: str = "anna", *items: str, until_s: float | None = 86_400, **grant: Any) -> None:
        """Ignition on, `name` drives and has granted `items`."""
        if not self.core.trip.ignition:
            self.ignition(on=True)
        if name not in self.ledger.facts().profiles:
            self.ledger.add_profile(name)
        assert self.core.trip.id is not None
        self.ledger.use_profile(name, self.core.trip.id)
        for item in items:
            self.grant(name, item, until_s=until_s, **grant)
        self.core.decide()

    def grant(self, name: str, item: str, *, until_s: float | None = 86_400, trip: bool = False, policy: str = POLICY) -> str:
        end = {"trip": self.core.trip.id} if trip else {"until_ms": self.now_ms + round((until_s or 0) * 1000)}
        sensitive = ITEMS[item][1]
        granted = self.ledger.grant(name, item, policy=policy, method="test", max_term_s=3.2e7, sensitive=sensitive, **end)
        return granted.ref

    # -- the link's far end -------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """An uplink that has every lane online."""
        near, self.far = pair()
        self.loop.take(Linked(near))
        for lane in self.core.delivery.lanes():
            self.loop.take(State(lane=lane, online=True, why="", protocol=5))

    def heard(self) -> list[Message]:
        """What core has said since the last call; offers are kept in `offers` too."""
        new: list[Message] = []
        assert self.far is not None
        while (message := self.far.receive(0)) is not None:
            new.append(message)
        for message in new:
            if isinstance(message, Lane):
                self.loop.take(State(lane=message.lane, online=True, why="", protocol=5))
        self.offers += [message for message in new if isinstance(message, Offer)]
        self.said += new
        return new

    def pump(self) -> list[Offer]:
        """Core offers what waits: the new offers."""
        self.loop.uplinked.pump(self.clock.now_ns())
        return [message for message in self.heard() if isinstance(message, Offer)]

    def acknowledge(self, *offers: Offer) -> None:
        for offer in offers:
            self.loop.take(Ack(n=offer.n))
        self.loop.uplinked.pump(self.clock.now_ns())

    def deliver_all(self) -> list[Offer]:
        """A broker that takes everything at once."""
        done: list[Offer] = []
        waiting = self.pump()
        while waiting:
            self.acknowledge(*waiting)
            done += waiting
            waiting = [message for message in self.heard() if isinstance(message, Offer)]
        return done

    def taken_back(self) -> list[int]:
        """Numbers that core has asked back so far."""
        self.heard()
        return [n for message in self.said if isinstance(message, TakeBack) for n in message.ns]

    def lanes_said(self) -> list[Lane]:
        return [message for message in self.said if isinstance(message, Lane)]

    # -- asking -------------------------------------------------------------------------------------------------------

    def ask(self, route: str, **args: object) -> Future[object]:
        """A request of the control socket, taken by the loop at once."""
        answer: Future[object] = Future()
        self.loop.take(Asked(route, args, answer))
        return answer

    def turn_until(self, done: Callable[[], bool], within_s: float = 5.0) -> bool:
        """Turns of the loop in real time until `done`."""
        for _ in range(int(within_s / 0.02)):
            if done():
                return True
            self.loop.turn(0.02)
        return done()

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self.clock.now_ns() // 1_000_000

    def stored(self) -> dict[str, int]:
        """Rows by stream."""
        return {stream: int(count) for stream, count in rows(self.rows_db, "SELECT stream, count(*) FROM records GROUP BY stream")}

    def live(self) -> set[str]:
        """Streams with a rule."""
        return {rule.name for rule in self.core.plan.rules}

    def key_streams(self) -> set[str]:
        """Streams that have a data key."""
        return {key.stream for key in self.keyring.data_keys}

    def disclosures(self) -> list[dict[str, Any]]:
        return [dict(line) for line in self.audit.show(10_000) if str(line["kind"]).startswith("disclosure")]

    def close(self) -> None:
        if self.loop.uplinked.link is not None:
            self.loop.uplinked.attach(None)
        if self.far is not None:
            self.far.close()
        for database in (self.db, self.rows_db):
            database.conn.close()
        self.keyring.close()

    def again(self) -> Stage:
        """The next start, at the same moment."""
        now_ns = self.clock.now_ns()
        self.close()
        return Stage(self.folder, start_ns=now_ns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def opened(offer: Offer) -> Opened:
    """What the recipient of an offer reads."""
    for key in KEYS.values():
        try:
            return open_envelope(offer.payload, key.private_bytes_raw())
        except Exception:  # noqa: BLE001  the other recipient's
            continue
    raise AssertionError("no recipient opens it")


def stream_of(offer: Offer) -> str:
    """`service.stream` from the topic."""
    return ".".join(offer.topic.split("/")[-2:])

"""modicum-uplink: the process with the internet. It sees topics and sealed envelopes, and nothing that opens them.

Wiring only: agent.toml's brokers, the link to core, one lane per connection. When the link ends every connection ends
with it, so that nothing is written that core cannot take back; it then waits for core again.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path

from agent import link
from agent.clock import Sleep
from agent.daemons.ending import close_all
from agent.daemons.starting import started
from agent.errors import ConfigError, ModicumError
from agent.link import Close, LinkDown, Offer, Refused, State, TakeBack, TakenBack
from agent.mqtt.connection import Access, Event, access
from agent.mqtt.terms import PROTOCOLS, UNNAMED
from agent.notify import LOOK_S, Vote, Voter, Watched, tell
from agent.sections import Broker
from agent.settings import Settings
from agent.uplink.lane import Lane, unlinkable
from agent.uplink.session import Limits

INBOX_MAX = 1000
"""Core waits when this much is unread; what connections post is bounded by their windows."""
WATCH_S = 5.0
"""How often a lane is looked at when nothing happens."""
AGAIN_S = 0.5
END_S, READER_S = 1.2, 0.3
"""Until every connection has said goodbye or was cut off, which one by one takes a second; then for the link's thread."""
UNKNOWN_LANE_HOLD_MS = 10_000
WAITS = "waits for core"


AccessOf = Callable[[link.Lane], Access]


def access_for(broker: Broker, lane: str, allowed_regions: Collection[str]) -> Access:
    """How `lane` may speak to `broker`. Raises ConfigError where the region, the URL or the credential forbids it.

    A lane without identity uses the fleet's credential and never falls back to the device's.
    """
    if broker.region not in allowed_regions:
        raise ConfigError("the broker's region is not allowed", broker.region or "no region", "see [regions] in agent.toml")
    cert, key = (broker.fleet_cert, broker.fleet_key) if unlinkable(lane) else (broker.cert, broker.key)
    to = access(broker.url, ca=broker.ca, cert=cert, key=key, addresses=broker.addresses, protocol=PROTOCOLS[broker.first_protocol])
    if to.tls and cert is None:
        wanted = "fleet_cert and fleet_key" if unlinkable(lane) else "cert and key"
        raise ConfigError(UNNAMED, lane, f"name {wanted} of its broker in agent.toml")
    return to


class Uplink:
    """Everything that lives as long as one link to core. `vote` raises DeviceError where a thread does not work."""

    def __init__(
        self, to_core: link.Link, access_of: AccessOf, limits: Limits | None = None, vote: Callable[[], None] = lambda: None
    ) -> None:
        self._link, self._access_of, self._limits, self._vote = to_core, access_of, limits or Limits(), vote
        self._inbox: queue.SimpleQueue[tuple[Lane, Event] | link.Message | None] = queue.SimpleQueue()
        self._lanes: dict[str, Lane] = {}
        self._reader = Watched(self._read, "link")
        self._stopping, self._sleep = False, Sleep()

    def stop(self) -> None:
        """Makes `run` end. May be called from a signal handler."""
        self._stopping = True
        self._inbox.put(None)

    def run(self) -> None:
        """Serves until `stop` or the link's end, and leaves no connection behind."""
        self._reader.start()
        try:
            while not self._stopping and self._serve():
                pass
        except LinkDown:
            pass  # the caller connects again
        finally:
            self._end()
            self._reader.join(READER_S)

    def voters(self) -> dict[str, Voter]:
        """The threads: the link's, until it has told of its end, and of each lane the connection's."""
        return {thread.name: thread for thread in [self._reader] if thread.alive()} | {
            f"connection {name}": connection for name, lane in self._lanes.items() if (connection := lane.at_work) is not None
        }

    def _read(self, beat: Callable[[], None]) -> None:
        try:
            while True:
                beat()
                message = self._link.receive(LOOK_S)
                if message is not None:
                    self._inbox.put(message)
                while self._inbox.qsize() > INBOX_MAX:
                    time.sleep(0.01)
        except LinkDown:
            pass
        finally:
            self._inbox.put(None)

    def _serve(self) -> bool:
        """One event, then the time. False when it was the end."""
        try:
            event = self._inbox.get(timeout=self._wait_s())
            if event is None:
                return False
            self._take(event)
        except queue.Empty:
            pass
        now_s, woke = time.monotonic(), self._sleep.over()
        for lane in self._lanes.values():
            if woke:
                lane.woke(now_s)
            lane.tick(now_s)
        self._vote()
        return True

    def _wait_s(self) -> float:
        dues = [due for lane in self._lanes.values() if (due := lane.next_due_s()) is not None]
        return min(WATCH_S, max(0.0, min(dues) - time.monotonic())) if dues else WATCH_S

    def _take(self, event: tuple[Lane, Event] | link.Message) -> None:
        match event:
            case (lane, happened):
                # A lane opened anew counts its connections from 1 again: what the one before it left in the inbox is not meant for it.
                if self._lanes.get(lane.opening.lane) is lane:
                    lane.feed(time.monotonic(), happened)
            case Offer():
                self._offer(event)
            case TakeBack():
                self._take_back(event)
            case link.Lane():
                self._open(event)
            case Close():
                self._close(event.lane)
            case _:
                raise LinkDown("core sent what only the uplink says", type(event).__name__, "both processes must be of one release")

    def _offer(self, offer: Offer) -> None:
        lane = self._lanes.get(offer.lane)
        if lane is None:
            self._link.send(Refused(n=offer.n, why="no such lane", again=True, hold_ms=UNKNOWN_LANE_HOLD_MS))
            return
        try:
            lane.offer(time.monotonic(), offer)
        except ValueError as error:
            raise LinkDown("core broke the link's promise", str(error), "report this") from error

    def _take_back(self, event: TakeBack) -> None:
        now_s = time.monotonic()
        maybe_sent = [n for lane in self._lanes.values() for n in lane.take_back(now_s, event.ns)]
        self._link.send(TakenBack(ns=event.ns, maybe_sent=tuple(maybe_sent)))

    def _open(self, opening: link.Lane) -> None:
        present = self._lanes.get(opening.lane)
        if present is not None and present.opening == opening:
            return
        self._close(opening.lane)
        try:
            if unlinkable(opening.lane) and (opening.client_id or opening.topics):
                raise ConfigError("a lane without identity with a name or a subscription", opening.lane, "report this")
            to = self._access_of(opening)
        except ModicumError as error:
            self._link.send(State(lane=opening.lane, online=False, why=str(error), protocol=0))
            return
        lane: Lane = Lane(opening, to, self._link.send, lambda event: self._inbox.put((lane, event)), self._limits)
        self._lanes[opening.lane] = lane

    def _close(self, name: str) -> None:
        lane = self._lanes.pop(name, None)
        if lane is not None:
            lane.stop(time.monotonic())

    def _end(self) -> None:
        """At most END_S: a broker that does not answer holds up no other's end."""
        close_all([functools.partial(self._leave, name) for name in self._lanes], END_S)
        self._link.close()

    def _leave(self, name: str) -> None:
        with contextlib.suppress(LinkDown):  # core is gone: it offers again what it got no word of
            self._close(name)


def accesses(settings: Settings) -> AccessOf:
    """The brokers of agent.toml, by lane."""

    def access_of(opening: link.Lane) -> Access:
        broker = settings.brokers.get(opening.broker)
        if broker is None:
            raise ConfigError("no such broker", opening.broker, "add it to [brokers] in agent.toml")
        return access_for(broker, opening.lane, settings.regions.allowed)

    return access_of


def serve(path: Path, access_of: AccessOf, limits: Limits | None = None) -> None:
    """Serves one core after another at the link socket `path`, until SIGTERM or SIGINT; never more often than every AGAIN_S."""
    stopped: list[int] = []  # no Event: the handler runs in the thread that would wait for it, and its lock does not nest
    current: list[Uplink] = []

    def on_signal(number: int, _frame: object) -> None:
        stopped.append(number)
        for uplink in current:
            uplink.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    vote = Vote("modicum-uplink", lambda: current[0].voters() if current else {}, WAITS).take
    while not stopped:
        vote()
        with contextlib.suppress(LinkDown):  # core is not there
            current[:] = [Uplink(link.connect(path), access_of, limits, vote)]
            if not stopped:
                tell("STATUS=linked to core")
                current[0].run()
                current.clear()
                tell(f"STATUS={WAITS}")
        if not stopped:
            time.sleep(AGAIN_S)  # also where core was there and ended the link at once
    tell("STOPPING=1")


def main() -> int:
    """Runs until SIGTERM. Exit status as the command line's."""
    return started("modicum-uplink", "Carries sealed envelopes between modicum-core and the brokers.", run)


def run(settings: Settings, _: Path) -> None:
    """Serves core, at the socket of agent.toml, with its brokers."""
    serve(settings.link.socket, accesses(settings))


if __name__ == "__main__":
    raise SystemExit(main())

"""`modicum-core`: the process that sees the car and has no internet. Wiring only."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from agent.clock import age_ns, boot_ns, plausible_ns
from agent.control.protocol import Peer
from agent.control.routes import ROUTES
from agent.control.server import ControlServer, permitted
from agent.core.assembly import CLOCK_KEY, Assembled, assemble
from agent.core.core import Core
from agent.core.loop import Item, Linked, Loop
from agent.core.numbers import Numbers
from agent.daemons.starting import started
from agent.ecall.fixes import FixTeller
from agent.link import Link, LinkDown, Listener, listen
from agent.settings import Settings
from hw.ports import Fix, Subscription
from hw.registry import driver

if TYPE_CHECKING:
    from hw.can.bus import BusReader
    from hw.gnss.source import FixSource

log = logging.getLogger("modicum.core")
ACCEPT_PAUSE_S = 1.0
"""After a link that could not be accepted: descriptors or threads may be free again."""


def main() -> int:
    """Runs until SIGTERM. Exit status as the command line's."""
    return started("modicum-core", "Reads the car, decides, minimises, seals and buffers.", run)


def run(settings: Settings) -> None:
    """Builds everything from `settings`, runs the loop, takes down in reverse whatever was built, whatever ended it."""
    with contextlib.ExitStack() as built:
        _run(settings, built)


def _run(settings: Settings, built: contextlib.ExitStack) -> None:
    assembled = assemble(settings)
    if assembled.audit_holds:  # a broken one is evidence: nothing is written to it
        built.callback(assembled.parts.audit.close_days)
    for finding in assembled.findings:
        log.warning("%s: %s: %s", finding.code, finding.text, finding.hint)
    readers: list[BusReader] = []
    numbers = Numbers(readers, assembled, at_rest="weak" if settings.keys.provider == "file" else "credential")
    core = Core(assembled.parts, _resubscribe(readers), numbers.signals)
    core.delivery.may_send = assembled.audit_holds
    loop = Loop(core, assembled.clock, ROUTES, lambda _: assembled.parts.memory.set(CLOCK_KEY, assembled.clock.state()))
    numbers.attach(core, loop)
    _open_buses(settings, assembled, loop, core, readers)
    numbers.receiver = receiver = _open_receiver(settings, assembled, loop)
    devices: list[BusReader | FixSource] = [*readers, *([receiver] if receiver else [])]
    for device in devices:
        built.callback(device.close)
    permissions, within_s = ({name: getattr(route, key) for name, route in ROUTES.items()} for key in ("permission", "within_s"))
    server = ControlServer(settings.control.socket, permissions, loop.submit, within_s)
    built.callback(server.close)
    listener = listen(settings.link.socket)
    built.callback(listener.close)
    linking = threading.Thread(target=_serve_link, args=(listener, loop), name="link", daemon=True)
    for thread in (*devices, server, linking):
        thread.start()
    loop.healthy = lambda: server.alive() and linking.is_alive() and all(device.alive() for device in devices)
    _stop_on_signal(loop)
    core.pipeline.start(assembled.clock.now_ns())
    log.info("running: %d rules, %d withheld", len(core.plan.rules), len(core.plan.refused))
    loop.run()


def _resubscribe(readers: list[BusReader]) -> Callable[[tuple[Subscription, ...]], None]:
    def resubscribe(wanted: tuple[Subscription, ...]) -> None:
        for reader in readers:
            reader.subscribe(wanted)

    return resubscribe


def _open_buses(settings: Settings, assembled: Assembled, loop: Loop, core: Core, readers: list[BusReader]) -> None:
    clock = assembled.clock

    def to_axis(wall_s: float) -> int:
        return clock.now_ns() - age_ns(wall_s)

    for bus in settings.bus:
        reader = cast("type[BusReader]", driver("can", "bus"))(
            bus.name,
            bus.interface,
            str(bus.channel),
            deliver=loop.inbox.put_nowait,
            to_axis=to_axis,
            now_ns=clock.now_ns,
            extra=bus.options,
            known=assembled.parts.vehicle.known_ids.get(bus.name),
        )
        readers.append(reader)
    core.resubscribe(core.wanted())


def _open_receiver(settings: Settings, assembled: Assembled, loop: Loop) -> FixSource | None:
    if settings.gnss is None:
        return None
    gnss, clock = settings.gnss, assembled.clock
    tell = None if settings.ecall is None else FixTeller(settings.ecall.run)

    def deliver(fix: Fix) -> None:
        """To the emergency call first: it gets it from this thread, whatever the loop does; only its ring of three keeps it."""
        if tell is not None:
            tell(fix, boot_ns() - plausible_ns(clock.now_ns() - fix.t_ns))
        loop.inbox.put_nowait(fix)

    receiver = cast("type[FixSource]", driver("gnss", gnss.kind))
    return receiver(gnss.port, deliver=deliver, now_ns=clock.now_ns, baud=gnss.baud)


def _serve_link(listener: Listener, loop: Loop) -> None:
    """Accepts the uplink (root, our user or group), one at a time, until the listener is closed, whatever one attempt met."""
    why = ""
    while listener.fileno() >= 0:
        try:
            link = listener.accept(None)
            if link is not None:
                _admit(link, loop)
            why = ""
        except (LinkDown, OSError, RuntimeError) as error:  # no descriptor or no thread to be had
            if listener.fileno() >= 0 and why != str(error):
                log.warning("no link can be accepted: %s", error)
            why = str(error)
            time.sleep(ACCEPT_PAUSE_S)


def _admit(link: Link, loop: Loop) -> None:
    """Brings what a peer that may says into the loop. Raises RuntimeError where no thread can be had; the link is closed then."""
    if not permitted(Peer(*link.peer()), "drive"):
        log.warning("refused a link from uid %d", link.peer()[1])
        link.close()
        return
    loop.inbox.put(Linked(link))
    try:
        threading.Thread(target=_hear, args=(link, loop), name="link reader", daemon=True).start()
    except RuntimeError:
        loop.inbox.put(Linked(None, ended=link))
        raise


def _hear(link: Link, loop: Loop) -> None:
    try:
        while True:
            message: Item | None = link.receive(None)
            if message is not None:
                loop.inbox.put(message)
    except LinkDown:
        pass  # the loop is told, whatever ended it
    finally:
        loop.inbox.put(Linked(None, ended=link))


def _stop_on_signal(loop: Loop) -> None:
    def stop(*_: object) -> None:
        loop.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


if __name__ == "__main__":
    sys.exit(main())

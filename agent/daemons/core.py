"""`modicum-core`: the process that sees the car and has no internet. Wiring only."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from agent.clock import age_ns, boot_ns, plausible_ns
from agent.control.routes import ROUTES
from agent.control.server import ControlServer
from agent.core.assembly import CLOCK_KEY, Assembled, assemble
from agent.core.core import Core
from agent.core.loop import Loop
from agent.core.numbers import Numbers
from agent.core.power import GONE_STATUS, TOLD
from agent.daemons.ending import close_all
from agent.daemons.linking import Linking
from agent.daemons.starting import started
from agent.ecall.fixes import FixTeller
from agent.ecall.store import stands
from agent.link import listen
from agent.notify import Vote
from agent.settings import Settings, watch
from hw.ports import Fix, Subscription
from hw.registry import driver

if TYPE_CHECKING:
    from hw.can.bus import BusReader
    from hw.gnss.source import FixSource

log = logging.getLogger("modicum.core")
CLOSE_S = 0.3
"""For all devices together: their threads look up within 0.2 s, or hang in a device."""


def main() -> NoReturn:
    """Runs until SIGTERM, or until [power] ends it. Exit status as the command line's; GONE_STATUS in the latter case.

    Ends the process itself: SQLite would write back what is in the WALs as they are closed, four flushes that a slow disk has no time
    for. The next start reads it from there, as after a power cut.
    """
    status = started("modicum-core", "Reads the car, decides, minimises, seals and buffers.", run)
    sys.stderr.flush()
    os._exit(status)


def run(settings: Settings, file: Path) -> int:
    """Builds everything from `settings`, runs the loop, takes down in reverse whatever was built, whatever ended it. The exit status.

    `file`: where they stand; that it changes is found.
    """
    with contextlib.ExitStack() as built:
        return _run(settings, file, built)


def _run(settings: Settings, file: Path, built: contextlib.ExitStack) -> int:
    told = settings.control.socket.with_name(TOLD)
    had_gone = told.exists()
    told.unlink(missing_ok=True)  # first: who stops a start that is slow, or that fails, has not gone
    assembled = assemble(settings)
    if assembled.audit_holds:  # a broken one is evidence: nothing is written to it
        built.callback(assembled.parts.audit.close_days)
    for finding in assembled.findings:
        log.warning("%s: %s: %s", finding.code, finding.text, finding.hint)
    power = assembled.parts.power
    if had_gone:  # and was woken since, perhaps by something else than the car
        power.ignition = False
    if (call := settings.ecall) is not None:
        power.call_stands = lambda: stands(call.run)
    readers: list[BusReader] = []
    numbers = Numbers(
        readers, assembled, at_rest=assembled.at_rest, quota_bytes=settings.state.quota_mib << 20, settings_changed=watch(file)
    )
    core = Core(assembled.parts, _resubscribe(readers), numbers.signals)
    core.delivery.may_send = assembled.audit_holds
    loop = Loop(core, assembled.clock, ROUTES, lambda _: assembled.parts.memory.set(CLOCK_KEY, assembled.clock.state()))
    numbers.attach(core, loop)
    _open_buses(settings, assembled, loop, core, readers)
    numbers.receiver = receiver = _open_receiver(settings, assembled, loop)
    devices: list[BusReader | FixSource] = [*readers, *([receiver] if receiver else [])]
    built.callback(close_all, [device.close for device in devices], CLOSE_S)
    servers = _servers(settings, loop)
    for server in servers.values():
        built.callback(server.close)
    linking = Linking(listen(settings.link.socket), loop.inbox.put)
    built.callback(linking.close)
    for thread in (*devices, *servers.values(), linking):
        thread.start()
    of_devices = {f"bus {reader.name}": reader for reader in readers} | ({"receiver": receiver} if receiver else {})
    loop.vote = Vote("modicum-core", lambda: {**of_devices, **servers, **linking.voters()}).take
    _stop_on_signal(loop)
    core.pipeline.start(assembled.clock.now_ns())
    log.info("running: %d rules, %d withheld", len(core.plan.rules), len(core.plan.refused))
    loop.run()
    if power.why is None:
        return 0
    log.info("ends by itself: %s", power.why)
    told.write_text(f"{power.why}\n", encoding="ascii")
    return GONE_STATUS


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


def _servers(settings: Settings, loop: Loop) -> dict[str, ControlServer]:
    """The sockets where something can be asked: everybody's, and the one where the emergency call may ask for its own and nothing else."""
    places = {"control": settings.control.socket} | ({"audit": settings.ecall.audit} if settings.ecall else {})
    servers = {}
    for name, path in places.items():
        routes = {route: of for route, of in ROUTES.items() if (of.permission == "call") == (name == "audit")}
        permissions, within_s = ({route: getattr(of, key) for route, of in routes.items()} for key in ("permission", "within_s"))
        servers[name] = ControlServer(path, permissions, loop.submit, within_s)
    return servers


def _stop_on_signal(loop: Loop) -> None:
    def stop(*_: object) -> None:
        loop.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


if __name__ == "__main__":
    main()

"""The live bench: sets the stage, lets the car drive, stops everything, and gives back what there was to see."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent.catalogue.types import Catalogue
from agent.cli.bench.actions import Actions
from agent.cli.bench.centre import Centre
from agent.cli.bench.chronicle import Chronicle, Stretch
from agent.cli.bench.device import EMERGENCY, SOCKETCAN, BusChoice, Device, make_credentials, prepare_state, write_config
from agent.cli.bench.listeners import Listeners, recipients_of
from agent.cli.bench.programs import Programs
from agent.cli.bench.seat import kinds_of
from agent.consent.choice import Choice
from agent.control.protocol import RemoteError, ask
from agent.errors import AgentAbsent, DeviceError, UsageError
from agent.mqtt.connection import access
from agent.mqtt.terms import V5, V311
from hw.bench.group import free_udp_port, usable_group
from hw.bench.interface import VIRTUAL, inspect, present
from hw.bench.link import Proxy
from hw.bench.program import ORDERS
from hw.bench.truth import Drive
from hw.errors import HwError

START_S = 20.0
LEAD_S = 0.7
"""Between the decision that the drive begins and its first frame, at least: car and receiver are started meanwhile."""
PULSE_S = 0.2
CRASH_AHEAD_S = 0.5
"""So that car and receiver hear of a crash before it happens."""
SHARED = Path("/dev/shm")  # noqa: S108  a folder of the run's own is made in it
HERE = ("127.0.0.1", "localhost")
"""Where the bench can stand between the agent and its broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """What to play. `folder` gets the run's files; `pulse` is called a few times a second while the car drives, and once after."""

    scenario: str
    seconds: float
    seed: int
    package: str | None
    choice: Choice
    catalogue: Catalogue
    catalogue_dir: Path | None
    bus: BusChoice | None
    broker_url: str | None
    folder: Path
    record: Path | None = None
    noise_per_s: float = 0
    receiver: str = "nmea"
    pulse: Callable[[Stage], None] = lambda _: None


@dataclass(slots=True)
class Stage:
    """A live run and what is known of it so far.

    `ends_s`: seconds since the drive began. `link`: None where the broker is elsewhere; `cuts`: when it was cut.
    """

    request: BenchRequest
    device: Device
    programs: Programs
    drive: Drive
    listeners: Listeners | None = None
    link: Proxy | None = None
    link_is_cut: bool = False
    cuts: list[Stretch] = field(default_factory=list)
    bus: BusChoice | None = None
    start_ns: int = 0
    ends_s: float = 0.0
    status: dict[str, Any] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    chronicle: Chronicle = field(default_factory=Chronicle)
    actions: Actions = field(default_factory=lambda: Actions([]))
    centre: Centre | None = None

    @property
    def elapsed_s(self) -> float:
        """Since the drive began."""
        return (time.time_ns() - self.start_ns) / 1e9

    @property
    def is_over(self) -> bool:
        """Whether the car has driven all that it was to drive."""
        return self.elapsed_s >= self.ends_s

    def ask(self, route: str, **args: object) -> Any:  # noqa: ANN401  each route has its own result
        """Asks the running agent, as the command line does."""
        return ask(self.device.control, route, **args)

    def cut_link(self) -> None:
        """Between the agent and its broker nothing passes any more. Raises UsageError where that cannot be done from here."""
        if self.link is None:
            raise UsageError("the link cannot be cut from here", self.device.broker_url, "it can where the broker is on this computer")
        self.link.cut(admit=False)
        self.link_is_cut = True
        self.cuts.append((round(self.elapsed_s, 1), self.ends_s))

    def restore_link(self) -> None:
        """The agent can reach its broker again; when it tries is up to it."""
        assert self.link is not None
        self.link.restore()
        self.link_is_cut = False
        self.cuts[-1] = self.cuts[-1][0], round(self.elapsed_s, 1)

    def crash(self) -> None:
        """The car, the receiver and the truth of the run hear of a crash a moment ahead. Raises UsageError where there is one already."""
        at_s = self.drive.crash_s
        if at_s is not None:
            when = "has crashed already" if at_s <= self.elapsed_s else "is going to crash anyway"
            raise UsageError(f"the car {when}", f"at {at_s:g} s", "start another drive for another crash")
        at_s = round(self.elapsed_s + CRASH_AHEAD_S, 2)
        self.drive.crash(at_s)
        for name in ("car", "receiver"):
            self.programs.tell(name, f"crash {at_s}")

    def end_early(self) -> None:
        """The drive is over."""
        self.ends_s = min(self.ends_s, round(self.elapsed_s, 1))
        if self.link_is_cut:
            self.cuts[-1] = self.cuts[-1][0], self.ends_s


def play(request: BenchRequest) -> Stage:
    """The whole run. Raises DeviceError when a part of it does not start or ends by itself."""
    drive = Drive.load(request.scenario, request.seed)
    with contextlib.ExitStack() as ends:  # each, whatever becomes of the one before it; the programs first
        device = Device(request.folder, Path(ends.enter_context(TemporaryDirectory(prefix="modicum-bench-", dir=_ram()))))
        stage = Stage(request, device, Programs(request.folder / "logs"), drive, ends_s=request.seconds)
        stage.actions = Actions(list(drive.scenario.actions))
        ends.callback(_unlink, stage)
        ends.callback(_listen_no_more, stage)
        ends.callback(stage.programs.stop_all)
        try:
            _set(stage)
            _drive(stage)
            _end(stage)
        except HwError as error:
            raise DeviceError(error.what, error.where, error.hint) from error
    stage.chronicle.note(_arrived(stage))
    return stage


def _ram() -> Path | None:
    """Where files lie in memory alone, if there is such a place; the emergency call keeps nothing elsewhere."""
    return SHARED if SHARED.is_dir() and os.access(SHARED, os.W_OK) else None


def default_bus() -> BusChoice:
    """`vcan0` where there is one; else datagrams that never leave this computer, on a port of their own."""
    virtual = virtual_bus()
    if virtual is not None:
        return virtual
    port = free_udp_port()
    return BusChoice(interface="udp_multicast", channel=usable_group(port), port=port)


def virtual_bus() -> BusChoice | None:
    """`vcan0`, up or down, where there is one."""
    return BusChoice(interface=SOCKETCAN, channel=VIRTUAL) if present(VIRTUAL) else None


def remarks(bus: BusChoice) -> list[str]:
    """What to know of the bus before somebody reads the numbers of a run. Raises HwError for one that cannot be driven on."""
    return inspect(bus.channel) if bus.interface == SOCKETCAN else []


def _set(stage: Stage) -> None:
    """Broker, device, core, uplink and recipients; returns when the car has begun its trip."""
    request, device, programs = stage.request, stage.device, stage.programs
    make_credentials(device, request.catalogue)
    device.broker_url = request.broker_url or _embedded_broker(stage)
    _put_link_between(stage)
    bus = stage.bus = request.bus or default_bus()
    device.notes += remarks(bus)
    device.gnss_kind = "nmea" if request.receiver == "nmea" else "at"
    write_config(device, bus, request.package, request.catalogue_dir)
    prepare_state(device, request.catalogue, request.choice, kinds_of(stage.drive.scenario))
    programs.start("core", "agent.daemons.core", "--config", str(device.config))
    programs.start("uplink", "agent.daemons.uplink", "--config", str(device.config))
    programs.start("ecall", "agent.daemons.ecall", "--config", str(device.config))
    begun_s = time.monotonic()
    _listen(stage)
    _until(stage, _answering, "core's first answer")
    # Car and receiver together are started sooner than core, also by a slow computer, where a fixed lead would miss the drive's beginning.
    lead_s = max(LEAD_S, time.monotonic() - begun_s)
    _until(stage, _online, "the agent's connections")
    _set_off(stage, bus, lead_s)
    _until(stage, _trip, "the trip to begin")
    _until(stage, _seen, "the plan")


def _embedded_broker(stage: Stage) -> str:
    """Starts it; its URL."""
    server = stage.device.server
    assert server is not None
    files = ["--cert", str(server.cert), "--key", str(server.key), "--ca", str(stage.device.ca)]
    said = stage.programs.start("broker", "hw.bench.broker", *files, ready=True)
    stage.device.embedded = True
    return f"mqtts://127.0.0.1:{said.split()[-1]}"


def _put_link_between(stage: Stage) -> None:
    """The device reaches a broker of this computer over a link that can be cut; recipients reach it directly."""
    device = stage.device
    to = access(device.broker_url, ca=device.ca)
    if to.host in HERE:
        stage.link = Proxy(to.port, to.host)
        device.linked_url = f"{'mqtts' if to.tls else 'mqtt'}://{to.host}:{stage.link.port}"


def _set_off(stage: Stage, bus: BusChoice, lead_s: float) -> None:
    """Receiver, car and the emergency call's modem, which begin their drive at the same moment."""
    request, device, programs = stage.request, stage.device, stage.programs
    stage.start_ns = time.time_ns() + round(lead_s * 1e9)
    drive = ["--scenario", request.scenario, "--seed", str(request.seed), "--start-ns", str(stage.start_ns)]
    kept = ["--record", str(request.record.resolve())] if request.record else []
    extra = [*kept, "--noise", str(request.noise_per_s)]
    speaks = ["hw.bench.receiver"] if request.receiver == "nmea" else ["hw.bench.modem", "--vendor", request.receiver]
    programs.start("telephone", "hw.bench.modem", "--link", str(device.at), *drive, ready=True)
    programs.start("receiver", *speaks, "--link", str(device.gnss), *drive, ORDERS, ready=True, listens=True)
    port_option = ["--port", str(bus.port)] if bus.port is not None else []
    where = ["--interface", bus.interface, "--channel", bus.channel, *port_option]
    programs.start("car", "hw.bench.car", *where, *drive, *extra, ORDERS, ready=True, listens=True)


def _listen(stage: Stage) -> None:
    device = stage.device
    assert device.listener is not None
    tls = device.broker_url.startswith("mqtts")
    to = access(
        device.broker_url,
        ca=device.ca if tls else None,
        cert=device.listener.cert if tls else None,
        key=device.listener.key if tls else None,
        protocol=V311 if device.embedded else V5,
    )
    stage.listeners = Listeners(device, to, "modicum/v1/#", recipients_of(stage.request.catalogue))
    stage.listeners.start()
    assert device.centre is not None
    own = replace(to, cert=device.centre.cert, key=device.centre.key) if tls else to
    stage.centre = Centre(own, device.recipients[EMERGENCY], lambda what: stage.actions.done.append(f"at {stage.elapsed_s:.1f} s: {what}"))
    stage.centre.start()


def _listen_no_more(stage: Stage) -> None:
    for side in (stage.listeners, stage.centre):
        if side is not None:
            side.stop()


def _unlink(stage: Stage) -> None:
    if stage.link is not None:
        stage.link.close()


def _drive(stage: Stage) -> None:
    """Until the drive is over, of which the last pulse tells."""
    while not stage.is_over:
        stage.programs.check()
        time.sleep(PULSE_S)
        for ask_of in (_look, _sit_down, _look_at_the_call):
            with contextlib.suppress(AgentAbsent, RemoteError):  # it is busy, or the trip has just ended: the next time is soon
                ask_of(stage)
        stage.actions.act_live(stage.device.control, stage.elapsed_s)
        stage.request.pulse(stage)
    stage.request.pulse(stage)


def _look_at_the_call(stage: Stage) -> None:
    assert stage.centre is not None
    stage.actions.crashed(stage.drive.crash_s, stage.elapsed_s)
    stage.centre.look(ask(stage.device.call_control, "ecall.status"))


def _sit_down(stage: Stage) -> None:
    """Whoever sits behind the wheel confirms the trip, as `seat.sit_down`."""
    stage.live, driver = stage.ask("live"), stage.drive.state(stage.elapsed_s).driver
    if stage.live["trip"] and stage.live["profile"] != driver:
        stage.ask("profile.use", name=driver)
        stage.actions.drives(stage.elapsed_s, driver)


def _end(stage: Stage) -> None:
    """The car stops first, then core sends what it still has, then the others go."""
    for name in ("car", "receiver"):
        stage.programs.stop(name)
    _look(stage)
    for name in ("core", "uplink", "ecall", "telephone"):
        stage.programs.stop(name)
    time.sleep(PULSE_S)


def _look(stage: Stage) -> None:
    """How it is now: the status, the plan whenever it is another one, and under which plan what has arrived by now had left."""
    arrived = _arrived(stage)  # before the question: what comes after it may have left under the next plan
    stage.status = stage.ask("status")
    changed = stage.status["plan"]["id"] != stage.chronicle.plan_id
    if changed:
        stage.plan = stage.ask("plan")
    stage.chronicle.note(arrived, stage.plan if changed else None, t_s=stage.elapsed_s)


def _arrived(stage: Stage) -> list[dict[str, object]]:
    assert stage.listeners is not None
    return list(stage.listeners.lines)


def _until(stage: Stage, holds: Callable[[Stage], bool], what: str) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        stage.programs.check()
        with contextlib.suppress(AgentAbsent, RemoteError):
            if holds(stage):
                return
        if time.monotonic() > deadline_s:
            raise DeviceError(f"waited in vain for {what}", str(stage.programs.logs), "the logs there say why")
        time.sleep(0.05)


def _answering(stage: Stage) -> bool:
    return bool(stage.ask("status"))


def _online(stage: Stage) -> bool:
    status = stage.ask("status")
    call = ask(stage.device.call_control, "ecall.status")
    return status["uplink"] and all(lane["online"] for lane in status["lanes"].values()) and call["centre"]["online"]


def _seen(stage: Stage) -> bool:
    """Its plan is known, and who drives has said so, before anybody looks at the run."""
    _look(stage)
    _sit_down(stage)
    return True


def _trip(stage: Stage) -> bool:
    return bool(stage.ask("live")["trip"])

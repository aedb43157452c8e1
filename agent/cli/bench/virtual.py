"""The bench on the virtual clock: car, receiver, core and recipients in one process. The same seed gives the same lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.catalogue.types import Catalogue
from agent.cli.bench.actions import NO_CALL, Actions
from agent.cli.bench.chronicle import Chronicle
from agent.cli.bench.seat import kinds_of, sit_down
from agent.clock import RELEASE_NS
from agent.consent.choice import Choice
from agent.core.outcome import plan_document
from agent.core.virtual import Scene, VirtualRun
from agent.vehicle import Vehicle
from hw.bench.arriving import arriving
from hw.bench.car import Car
from hw.bench.receiver import Receiver
from hw.bench.record import recorded
from hw.bench.scenario import VIN
from hw.bench.truth import Drive
from hw.gnss.nmea import Epochs
from hw.ports import Fix, Frame

START_NS = RELEASE_NS + 21 * 86_400 * 1_000_000_000
"""A virtual drive begins at this moment, if its scenario does not say when."""


def play_virtual(
    *,
    scenario: str,
    seed: int,
    seconds: float,
    package: str | None,
    choice: Choice,
    catalogue: Catalogue,
    vehicle: Vehicle,
    chronicle: Chronicle | None = None,
    record: Path | None = None,
    noise_per_s: float = 0,
) -> tuple[VirtualRun, Epochs, int]:
    """Runs a whole drive. The run, the receiver's counters, and how many frames were on the bus.

    `chronicle` is told of every plan and of what left under it; `record`: where the bus is kept (hw.bench.record).
    """
    chronicle = chronicle or Chronicle()
    drive, epochs = Drive.load(scenario, seed), Epochs()
    start_ns = begins_ns(drive)
    stop_ns, actions = start_ns + int(seconds * 1e9), Actions(list(drive.scenario.actions))
    scene = Scene(
        catalogue=catalogue,
        vehicle=vehicle,
        package=package,
        choice=choice,
        vin=VIN,
        seed=f"bench {seed}".encode(),
        start_ns=start_ns,
        profiles=kinds_of(drive.scenario),
        sole_driver=None,
    )
    run = VirtualRun(scene)
    _note(chronicle, run)
    own = Car(drive, start_ns, noise_per_s=noise_per_s).frames(start_ns, stop_ns)
    frames: Iterator[Frame] = recorded(own, record) if record else own
    count = 0
    for item in arriving(frames, Receiver(drive, start_ns), start_ns, stop_ns, epochs):
        count += isinstance(item, Frame)
        while actions.waiting and item.t_ns >= (moment_ns := start_ns + int(actions.waiting[0].at_s * 1e9)):
            run.step(moment_ns)
            actions.act(run.core, actions.waiting[0].at_s)
        trip = run.core.trip.id
        run.feed(item)
        if run.core.trip.id != trip or isinstance(item, Fix):
            t_s = (item.t_ns - start_ns) / 1e9
            if sit_down(run.core, driver := drive.state(t_s).driver):
                actions.drives(t_s, driver)
        _note(chronicle, run)
    run.clock.set(stop_ns)
    run.finish()
    actions.settle()
    actions.crashed(drive.crash_s, seconds, f": {NO_CALL}")
    run.notes += actions.done
    _note(chronicle, run)
    return run, epochs, count


def begins_ns(drive: Drive) -> int:
    """The first moment of a virtual drive."""
    begins = drive.scenario.begins
    return START_NS if begins is None else int(begins.timestamp()) * 1_000_000_000


def _note(chronicle: Chronicle, run: VirtualRun) -> None:
    """Called after each item, so that nothing can leave under a plan that the chronicle has not seen."""
    plan = run.core.plan
    changed = plan.id.hex() != chronicle.plan_id
    t_s = (run.clock.now_ns() - run.scene.start_ns) / 1e9
    chronicle.note(run.received.lines, plan_document(plan, run.core.wanted()) if changed else None, t_s=t_s)

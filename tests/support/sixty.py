"""A bus with 60 identifiers at 1,000 frames/s, and the plans that read it: made here, sent and read in the guest (tests/guest/sixty.py).

40 identifiers are the bench car's messages on its usual drive, the others noise of no DBC that fills the bus up.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.cli.loading import load_checked_catalogue, load_choice, load_named_vehicle, package_of
from agent.core.virtual import Scene, VirtualRun
from agent.daemons.replay import REPLAY_VIN
from agent.folders import vehicle_folder
from hw.bench.car import STRANGER_IDS, Car
from hw.bench.truth import Drive
from hw.ports import Frame, Subscription
from tests.support.guest import run_in_guest

NS = 10**9
IDS, FRAMES_PER_S = 60, 1000
SEED = 1
RECORD = struct.Struct("<qIB64s")
"""Nanoseconds from the beginning, identifier, length, payload."""
ALL, NOTHING = "everything granted", "nothing accepted"
DECISIONS = {ALL: ("navigation_plus", "all"), NOTHING: ("none", "unaccepted")}


def plan(decision: str) -> tuple[Subscription, ...]:
    """What the bench car's catalogue subscribes to."""
    package, choice = DECISIONS[decision]
    scene = Scene(
        catalogue=load_checked_catalogue(None),
        vehicle=load_named_vehicle(vehicle_folder("bench")),
        package=package_of(package),
        choice=load_choice(choice),
        vin=REPLAY_VIN,
        compare_vin=False,
        seed=b"sixty",
        start_ns=0,
    )
    return tuple(VirtualRun(scene).core.wanted())


def traffic(seconds: float) -> list[Frame]:
    """All frames, in order."""
    car = Car(Drive.load("drive", SEED), 0)
    own = list(car.frames(0, round(seconds * NS)))
    noise = _noise(IDS - len(car.database.messages), round(FRAMES_PER_S * seconds) - len(own), seconds)
    return list(heapq.merge(own, noise, key=lambda frame: frame.t_ns))


def _noise(ids: int, count: int, seconds: float) -> Iterator[Frame]:
    for k in range(count):
        data = hashlib.blake2b(k.to_bytes(8, "big"), digest_size=8).digest()
        yield Frame("pt", STRANGER_IDS[k % ids], data, round(k * seconds * NS / count))


def played(folder: Path, receivers: Sequence[str], seconds: float, script: str = "tests/guest/sixty.sh") -> dict[str, dict[str, Any]]:
    """Decision -> receiver -> what it found, each with the whole traffic to itself; and under `sent` what was.

    `script`: another that runs tests/guest/sixty.py besides.
    """
    frames = traffic(seconds)
    with (folder / "frames.bin").open("wb") as file:
        file.writelines(RECORD.pack(one.t_ns, one.can_id, len(one.data), one.data) for one in frames)
    plans = {decision: [_plain(one) for one in plan(decision)] for decision in DECISIONS}
    (folder / "asked.json").write_text(json.dumps({"plans": plans, "receivers": receivers}), encoding="utf-8")
    run_in_guest(script, folder, 120 + (seconds + 20) * len(plans) * len(receivers))
    found: dict[str, dict[str, Any]] = json.loads((folder / "sixty.json").read_text(encoding="utf-8"))
    return found | {"sent": {"frames": len(frames), "ids": len({one.can_id for one in frames})}}


def _plain(one: Subscription) -> dict[str, Any]:
    return asdict(one) | {"mux": one.mux and [one.mux.selector_mask, list(one.mux.cases.items())]}

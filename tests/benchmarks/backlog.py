"""Records that wait in a device's buffer before core starts: what a long cut of the link leaves."""

from __future__ import annotations

import time

from agent.buffer.store import Buffer
from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.bench.device import Device
from agent.clock import NS
from agent.consent.choice import Choice
from agent.core.virtual import Scene, VirtualRun
from agent.model import Draft, Rule, Sample
from agent.seal.keyring import Keyring
from agent.storage.sqlite import open_database
from agent.vehicle import load_vehicle
from tests.benchmarks.replay import VEHICLE

STREAM = "teleservices.battery_guard"
SAMPLES, BATCH = 30, 500
MS = 1_000_000
QUOTA_MIB = 1024
"""More than a device has by default; else most of a long backlog would be dropped as it is made."""


def leave(device: Device, package: str, records: int) -> None:
    """So many records of a stream of the shipped catalogue, sealed as core seals them; each is a message. Makes room in agent.toml."""
    text = device.config.read_text(encoding="utf-8")
    device.config.write_text(text.replace("[state]\n", f"[state]\nquota_mib = {QUOTA_MIB}\n", 1), encoding="utf-8")
    catalogue, rule = load_catalogue(shipped_catalogue()), _rule(package)
    keyring = Keyring.open(device.state, (device.state / "credential").read_bytes())
    database = open_database(device.state / "buffer.db", keyring.database_key("buffer"), "buffer")
    buffer = Buffer(database, keyring, units=catalogue.units(), quota_bytes=QUOTA_MIB << 20)
    begin_ns = time.time_ns() - 3600 * NS
    for begin in range(0, records, BATCH):
        buffer.append([_draft(rule, begin_ns + number * MS) for number in range(begin, min(begin + BATCH, records))])
    database.conn.close()
    keyring.close()


def _rule(package: str) -> Rule:
    scene = Scene(
        catalogue=load_catalogue(shipped_catalogue()),
        vehicle=load_vehicle(VEHICLE),
        package=package,
        choice=Choice(True, None),
        vin="",
        seed=b"benchmark",
        start_ns=time.time_ns(),
    )
    return next(rule for rule in VirtualRun(scene).core.plan.rules if rule.name == STREAM)


def _draft(rule: Rule, t_ns: int) -> Draft:
    samples = [Sample(rule, 12 + (t_ns // MS + number) % 20 / 10, t_ns + number) for number in range(SAMPLES)]
    return Draft(tuple(samples), bytes(32), b"", trusted=True)

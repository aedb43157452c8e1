"""Whether the files that agent.toml names are there and are what they are named for.

What is not there yet costs what needs it and is a warning; a file that is there and is wrong is an error; what whoever asks may not
read was not looked at, which is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agent.envelope import public_key
from agent.errors import ConfigError
from agent.health.credentials import certificates
from agent.health.device import certificate
from agent.health.facts import ClockFacts
from agent.settings import Settings, vin_of
from agent.toml import At, Report


def check_files(settings: Settings, file: str, report: Report) -> None:
    """Adds what is wrong with the VIN's file, with recipients' keys, and with the certificates and keys for brokers."""
    at = At(file)
    vin = settings.vehicle.vin_file
    if vin is not None:
        _tried(lambda _: vin_of(settings), vin, at.key("vehicle").key("vin_file"), report)
    for name, recipient in settings.recipients.items():
        _tried(_public_key, recipient.key, at.key("recipients").key(name).key("key"), report)
    seen: dict[Path, At] = {}
    for name, broker in settings.brokers.items():
        for key in ("ca", "cert", "key", "fleet_cert", "fleet_key"):
            path, place = getattr(broker, key), at.key("brokers").key(name).key(key)
            if path is not None and _seen(path, place, report):
                seen.setdefault(path, place)
    now = ClockFacts(host_s=time.time())
    for one in certificates(settings):
        for finding in certificate(one, now).findings if one.file in seen else ():
            add = report.error if finding.severity == "error" else report.warning
            add(finding.code, finding.text, seen[one.file], finding.hint)


def _public_key(path: Path) -> None:
    public_key(path.read_bytes(), str(path))


def _tried(use: Callable[[Path], object], path: Path, place: At, report: Report) -> None:
    """Uses the file as the agent would, where it can be read."""
    if _seen(path, place, report):
        try:
            use(path)
        except ConfigError as error:
            report.error("file", f"{path}: {error.what}", place, error.hint)


def _seen(path: Path, place: At, report: Report) -> bool:
    """Whether there is a file that can be read; else it is said why not."""
    try:
        path.open("rb").close()
    except PermissionError:
        report.warning("not-allowed", f"{path} was not looked at: you may not read it", place, "check again as root (sudo)")
        return False
    except OSError:
        report.warning("no-file", f"no file {path}", place, "put it there; until then what needs it is refused")
        return False
    return True

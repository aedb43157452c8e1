"""Whether the files that agent.toml names are there and are what they are named for.

What is not there yet costs what needs it and is a warning; a file that is there and is wrong is an error; what whoever asks may not
read was not looked at, which is said.
"""

from __future__ import annotations

import time
from pathlib import Path

from agent.envelope import public_key
from agent.errors import ConfigError
from agent.health.credentials import certificates
from agent.health.device import certificate
from agent.health.facts import ClockFacts
from agent.settings import Settings
from agent.toml import At, Report


def check_files(settings: Settings, file: str, report: Report) -> None:
    """Adds what is wrong with recipients' keys, and with the certificates and keys for brokers."""
    at = At(file)
    for name, recipient in settings.recipients.items():
        place = at.key("recipients").key(name).key("key")
        if _seen(recipient.key, place, report):
            try:
                public_key(recipient.key.read_bytes(), str(place))
            except ConfigError as error:
                hint = "put the recipient's X25519 public key there, 32 raw bytes or PEM; until then nothing is collected for it"
                report.error("recipient-key", f"{recipient.key} is {error.what}", place, hint)
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

"""What stands in the certificates that agent.toml names, and who else can read the keys beside them. No key leaves this module."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from agent.health.facts import NOT_ALLOWED, CertificateFacts
from agent.settings import Settings


def certificates(settings: Settings) -> list[CertificateFacts]:
    """Each certificate of each broker that is spoken to by TLS."""
    found = []
    for name, broker in settings.brokers.items():
        named = ((f"the authority of broker {name}", broker.ca, None), (f"the certificate for broker {name}", broker.cert, broker.key))
        for what, file, key in (*named, (f"the fleet's certificate for broker {name}", broker.fleet_cert, broker.fleet_key)):
            if broker.tls and file is not None:
                found.append(_facts(what, file, key))
    return found


def issued_files(settings: Settings) -> Iterator[Path]:
    """Private keys of pairs that somebody issued."""
    for broker in settings.brokers.values():
        yield from (key for key in (broker.key, broker.fleet_key) if key is not None)


def own_files(settings: Settings) -> Iterator[Path]:
    """What `modicum keys` made: the credential and the key block."""
    if settings.keys.provider == "file":  # else systemd keeps it
        yield settings.credential_path
    yield settings.state.dir / "keys.block"


def readable_by_others(files: Iterator[Path]) -> tuple[str, ...]:
    """Those that somebody outside of owner and group can read; how far their folders are open does not count."""
    found = []
    for file in files:
        try:
            mode = file.stat().st_mode
        except OSError:
            continue
        if mode & stat.S_IROTH:
            found.append(str(file))
    return tuple(sorted(set(found)))


def _facts(what: str, file: Path, key: Path | None) -> CertificateFacts:
    try:
        read = x509.load_pem_x509_certificate(file.read_bytes())
    except PermissionError:
        return CertificateFacts(what=what, file=file, unseen=NOT_ALLOWED)
    except OSError as error:
        return CertificateFacts(what=what, file=file, problem=error.strerror or "it cannot be read")
    except ValueError:
        return CertificateFacts(what=what, file=file, problem="it is no certificate in PEM")
    begins, ends = read.not_valid_before_utc.timestamp(), read.not_valid_after_utc.timestamp()
    try:
        matches = None if key is None else _public(load_pem_private_key(key.read_bytes(), None).public_key()) == _public(read.public_key())
    except PermissionError:
        matches = None  # it is right that not everybody can
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return CertificateFacts(what=what, file=file, problem=f"its key {key} cannot be read", begins_s=begins, ends_s=ends)
    return CertificateFacts(what=what, file=file, begins_s=begins, ends_s=ends, matches=matches)


def _public(key: object) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]  # each kind has it
    return octets

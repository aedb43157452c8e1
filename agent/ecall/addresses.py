"""Whom the emergency call speaks to, and as whom: from agent.toml and the program's own secret.

Promises that what cannot be had costs only what needs it: without the centre's key nothing can be sealed, and the voice call is made all
the same; without the VIN a message names no vehicle; without a folder for the secret the centre knows the vehicle by another name
after each restart.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.ecall import wire
from agent.envelope import Sender, public_key, sender_for
from agent.errors import ConfigError
from agent.model import Finding
from agent.sections import Ecall
from agent.settings import Settings, vin_of

SECRET_BYTES = 32


@dataclass(slots=True, kw_only=True)
class Addresses:
    """`recipient_key` empty: there is none. `sms`: the number that may get an unacknowledged message, if any."""

    sender: Sender
    recipient_key: bytes
    prefix: str
    number: str
    test_number: str
    sms: str | None = None
    vin: str | None = field(repr=False)

    @property
    def topic(self) -> str:
        """Where messages go."""
        return wire.topic_of(self.prefix, self.sender)


def addresses_of(settings: Settings, own: Ecall) -> tuple[Addresses, dict[str, Finding]]:
    """And what is wrong with them, by the self-test's checks `key`, `vin`, `region` and `state`."""
    found: dict[str, Finding] = {}
    path, key = settings.recipients[own.recipient].key, b""
    try:
        key = public_key(path.read_bytes(), str(path))
    except (OSError, ConfigError) as error:
        why = (error.strerror or "cannot be read") if isinstance(error, OSError) else error.what
        text = f"no key of the centre's, so no message can be sent and only the call is made: {why}"
        found["key"] = Finding(code="ecall-key", severity="error", text=text, hint=f"put the centre's public key at {path}")
    vin = None
    try:
        vin = vin_of(settings)
    except ConfigError as error:
        text = f"no VIN is known, a message names no vehicle: {error.what} ({error.where})"
        found["vin"] = Finding(code="ecall-vin", severity="error", text=text, hint=error.hint)
    regions = {settings.brokers[own.broker].region, settings.recipients[own.recipient].region}
    if not regions <= set(settings.regions.allowed):
        text = "the centre or its broker is in a region that is not allowed; the emergency call speaks to it all the same"
        found["region"] = Finding(code="ecall-region", severity="error", text=text, hint="correct [regions], [brokers] or [recipients]")
    sender = _sender(own)
    if not (own.state / "secret").is_file():
        text = f"{own.state} cannot be written: the owner's switch is not kept, and the centre knows the vehicle by another name each time"
        found["state"] = Finding(code="ecall-state", severity="error", text=text, hint="correct [ecall] state, or the rights of the folder")
    made = Addresses(
        sender=sender,
        recipient_key=key,
        prefix=settings.topics.prefix,
        number=own.number,
        test_number=own.test_number,
        sms=own.sms,
        vin=vin,
    )
    return made, found


def _sender(own: Ecall) -> Sender:
    """Who signs: by the program's own secret, or by one of this run alone where no file can be had."""
    path, secret = own.state / "secret", b""
    with contextlib.suppress(OSError):
        secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        secret = secrets.token_bytes(SECRET_BYTES)
        with contextlib.suppress(OSError):
            own.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(secret)
    return sender_for(lambda info: HKDF(SHA256(), SECRET_BYTES, None, info).derive(secret), own.recipient)

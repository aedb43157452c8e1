"""An emergency call that is over, as the audit log knows it: that it was and of which kind, never what it said."""

from __future__ import annotations

from agent.audit import STORE_BYTES, Disclosure
from agent.errors import UsageError

KINDS = ("automatic", "manual", "test")
MESSAGES_MAX = 255
"""Of one call: the identifier is an octet (EN 15722)."""


def disclosures_of(session: str, kind: str, messages: int, t_ms: int, *, told: bool) -> list[Disclosure]:
    """An entry for each of its messages; of one value, or of none where none is known to have arrived.

    `session`: 16 hex digits, by which a repetition is recognised. Raises UsageError for what no emergency call says.
    """
    try:
        epoch = bytes.fromhex(session)
    except ValueError:
        epoch = b""
    if len(epoch) != STORE_BYTES or kind not in KINDS or not 0 < messages <= MESSAGES_MAX:
        raise UsageError("not the record of an emergency call", "audit.ecall", "is modicum-ecall of this release?")
    return [
        Disclosure(
            stream="ecall.msd",
            recipient="emergency",
            identity="vin",
            profile="",
            policy="",
            basis_ref=f"vital:{kind}",
            rules=(),
            samples=int(told),
            bytes=0,
            seq=number,
            store_epoch=epoch,
            t_ms=t_ms,
        )
        for number in range(1, messages + 1)
    ]

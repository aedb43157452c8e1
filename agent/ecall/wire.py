"""What goes over MQTT between the vehicle and the emergency centre (docs/formats.md section 7).

The message is an envelope to the centre's key, signed by the vehicle's own; in it lies a key of the session, with which the centre
signs its answers. So whoever can answer has opened the envelope: a broker's word is none, and neither is anybody else's.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from agent.body import from_cbor, to_cbor
from agent.ecall.happenings import Acknowledged, ClearedDown, UpdateWanted
from agent.envelope import Sender, open_envelope, seal_envelope
from agent.errors import IntegrityError

SERVICE, STREAM, PURPOSE, POLICY = "ecall", "msd", "emergency", "vital"
"""No policy stands behind it: it is sent whether one was accepted or not."""
WORD_BYTES_MAX = 1_000
EPOCH_BYTES = 8
Word = Acknowledged | UpdateWanted | ClearedDown


@dataclass(frozen=True, slots=True)
class Call:
    """What the centre reads: whose (the pairwise id), of which session, the message's octets, and the key of its answers."""

    id: str
    session: str
    octets: bytes = field(repr=False)
    reply_key: bytes = field(repr=False)


def topic_of(prefix: str, sender: Sender) -> str:
    """Where messages go."""
    return f"{prefix}/v1/{sender.id.hex()}/{SERVICE}/{STREAM}"


def answers_to(prefix: str, sender_id: str) -> str:
    """Where answers come from."""
    return f"{prefix}/v1/{sender_id}/down"


def sealed(sender: Sender, recipient_key: bytes, call: Call, identifier: int, vin: str | None) -> bytes:
    """The payload that carries a message. `vin` None: it is not known."""
    return seal_envelope(
        recipient_key=recipient_key,
        service=SERVICE,
        stream=STREAM,
        purpose=PURPOSE,
        policy=POLICY,
        body=to_cbor({"session": call.session, "msd": call.octets, "reply": call.reply_key}),
        sender=sender,
        store_epoch=call.session.encode()[:EPOCH_BYTES].ljust(EPOCH_BYTES, b"\0"),
        seq=identifier,
        vin=vin,
    )


def opened(payload: bytes, private_key: bytes) -> Call:
    """What the centre reads. Raises IntegrityError for what is no message of a vehicle's emergency call."""
    found = open_envelope(payload, private_key)
    parts = from_cbor(found.body, "the message")
    kinds = {"session": str, "msd": bytes, "reply": bytes}
    if not isinstance(parts, dict) or {name: type(part) for name, part in parts.items()} != kinds or found.id is None:
        raise IntegrityError("not a message of an emergency call", f"{found.service}.{found.stream}", "drop it")
    return Call(found.id, parts["session"], parts["msd"], parts["reply"])


def said(word: Word, reply_key: bytes) -> bytes:
    """The payload of a centre's answer."""
    match word:
        case Acknowledged(session, identifier):
            parts: dict[str, object] = {"do": "acknowledge", "session": session, "id": identifier}
        case UpdateWanted(session, identifier):
            parts = {"do": "update", "session": session, "id": identifier}
        case ClearedDown(session):
            parts = {"do": "clear_down", "session": session}
    body = to_cbor(parts)
    return to_cbor([body, _mac(body, reply_key)])


def heard(payload: bytes, reply_key: bytes) -> Word | None:
    """What the centre says; None for anything else, and for what another one says."""
    if len(payload) > WORD_BYTES_MAX:
        return None
    try:
        match from_cbor(payload, "an answer"):
            case [bytes() as body, bytes() as mac] if hmac.compare_digest(mac, _mac(body, reply_key)):
                return _word(from_cbor(body, "an answer"))
    except IntegrityError:
        pass
    return None


def _word(parts: object) -> Word | None:
    match parts:
        case {"do": "acknowledge", "session": str(session), "id": int(identifier)}:
            return Acknowledged(session, identifier)
        case {"do": "update", "session": str(session), "id": int(identifier)}:
            return UpdateWanted(session, identifier)
        case {"do": "clear_down", "session": str(session)}:
            return ClearedDown(session)
    return None


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"modicum/ecall/1" + body, "sha256")

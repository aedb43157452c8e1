"""`modicum ecall`: minimum sets of data as bytes and as a document; the running emergency call.

`decode` and `encode` need no agent. The others ask modicum-ecall on a socket of its own. Values are
printed because the person asked for them here; nothing is stored or sent.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from agent.cli.agent_side import config_option, settings_of
from agent.cli.streams import Entry
from agent.cli.words import counted
from agent.control.protocol import ask
from agent.ecall.msd import DIRECTION_UNKNOWN, MAS_PER_DEG, UNKNOWN_MAS, AdditionalData, Delta, Msd, MsdError, decode, encode
from agent.errors import AgentAbsent, FindingsError, UsageError

NAMES = {
    "message_identifier": "messageIdentifier",
    "automatic_activation": "automaticActivation",
    "test_call": "testCall",
    "position_can_be_trusted": "positionCanBeTrusted",
    "vehicle_type": "vehicleType",
    "timestamp_s": "timestamp",
    "vehicle_direction": "vehicleDirection",
    "recent_n1": "recentVehicleLocationN1",
    "recent_n2": "recentVehicleLocationN2",
    "number_of_occupants": "numberOfOccupants",
    "additional_data": "additionalData",
}
"""Ours -> EN 15722's, in a document; the others are the same."""
OFF_MEANS = "After a crash nobody will be called and no message sent, and the SOS button will do nothing."
HALVES = ("latitude", "longitude")


class Additional(msgspec.Struct, forbid_unknown_fields=True):
    """`data` in hex."""

    oid: str
    data: str


class Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename=NAMES):
    """A minimum set of data in JSON. A half of the position may be given in degrees alone; null there means unknown."""

    version: int
    message_identifier: int
    automatic_activation: bool
    test_call: bool
    position_can_be_trusted: bool
    vehicle_type: int | None
    vin: str
    propulsion: list[str]
    timestamp_s: int
    latitude_mas: int | msgspec.UnsetType = msgspec.UNSET
    longitude_mas: int | msgspec.UnsetType = msgspec.UNSET
    latitude_deg: float | msgspec.UnsetType | None = msgspec.UNSET
    longitude_deg: float | msgspec.UnsetType | None = msgspec.UNSET
    vehicle_direction: int = DIRECTION_UNKNOWN
    recent_n1: Delta | None = None
    recent_n2: Delta | None = None
    number_of_occupants: int | None = None
    additional_data: Additional | None = None


@click.group("ecall")
def ecall_group() -> None:
    """Emergency call: how it stands, a test, and its message (the minimum set of data)."""


@ecall_group.command("decode")
@click.argument("hex_text", metavar="HEX")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def decode_command(hex_text: str, *, as_json: bool) -> None:
    """Read a minimum set of data (EN 15722, versions 1 to 3) from its bytes in HEX.

    Use it at the receiving end, or to see what a message on the wire says. What is cut off, out of range or no such message is refused.
    """
    try:
        octets = bytes.fromhex(hex_text)
    except ValueError as error:
        raise UsageError("not hexadecimal", "HEX", "give the bytes as pairs of 0-9 and A-F") from error
    document = document_of(decode(octets))
    click.echo(msgspec.json.encode(document).decode() if as_json else "\n".join(_text(document)))


@ecall_group.command("encode")
@click.argument("file")
def encode_command(file: str) -> None:
    """Print the bytes of the minimum set of data in FILE (or - for standard input), a document as `decode --json` prints it.

    What is out of range or makes the message longer than 140 bytes is refused by its name.
    """
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        document = msgspec.json.decode(text, type=Document)
    except OSError as error:
        raise UsageError("cannot read the document", file, error.strerror or "give a JSON file") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"no document of a minimum set of data: {error}", file, "see `modicum ecall decode HEX --json`") from error
    click.echo(encode(msd_of(document)).hex().upper())


def _told(config: Path, route: str) -> Entry:
    own = settings_of(config).ecall
    if own is None:
        raise UsageError("no [ecall] section", str(config), "this device has no emergency call")
    try:
        answer: Entry = ask(own.run / "control.sock", route)
    except AgentAbsent as error:
        raise AgentAbsent(
            "modicum-ecall does not answer", error.where, "is it running, and is this its configuration (--config)?"
        ) from error
    return answer


def _began(config: Path, state: str) -> None:
    """What was asked for, and what of it cannot be had."""
    cancel = "; modicum ecall cancel takes it back, as long as it counts down" if state == "countdown" else ""
    click.echo(f"emergency call: {state}{cancel}")
    found = _told(config, "ecall.status")["checks"].values()
    click.echo("".join(f"but {_finding(one)}\n" for one in found if one and one["severity"] == "error"), nl=False)


@ecall_group.command("status")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def status_command(config: Path, *, as_json: bool) -> None:
    """Say how the emergency call stands, and what its self-test finds. No place and no number is shown."""
    status = _told(config, "ecall.status")
    click.echo(json.dumps(status) if as_json else "\n".join(_status(status)))
    if any(found and found["severity"] == "error" for found in status["checks"].values()):
        raise click.exceptions.Exit(1)


@ecall_group.command("sos")
@config_option
def sos_command(config: Path) -> None:
    """Call for help, as the SOS button of the head unit does: there are some seconds to cancel."""
    _began(config, _told(config, "ecall.sos")["state"])


@ecall_group.command("cancel")
@config_option
def cancel_command(config: Path) -> None:
    """Take a call for help back, as long as nothing was sent."""
    click.echo(f"emergency call: {_told(config, 'ecall.cancel')['state']}")


@ecall_group.command("off")
@config_option
@click.option("--yes", is_flag=True, help="do not ask")
def off_command(config: Path, *, yes: bool) -> None:
    """Switch the emergency call off, where it is the owner's to decide, until `on`; a call that stands goes on."""
    _told(config, "ecall.may_off")
    if not yes and not click.confirm(f"{OFF_MEANS} Switch it off?"):
        raise FindingsError("nothing has changed", "the emergency call stays on", "say yes, or --yes, to switch it off")
    _told(config, "ecall.off")
    click.echo(f"emergency call: off. {OFF_MEANS}")


@ecall_group.command("on")
@config_option
def on_command(config: Path) -> None:
    """Switch the emergency call on again."""
    _told(config, "ecall.on")
    click.echo("emergency call: on")


@ecall_group.command("test")
@config_option
def test_command(config: Path) -> None:
    """Make a test call: a message that says so, and a call to the number for tests."""
    _began(config, _told(config, "ecall.test")["state"])


def _status(status: Entry) -> list[str]:
    """For a person: the call, then each check of the self-test."""
    session, latency = status["session"], status["latency_ms"]
    rows = [f"state: {status['state']}"]
    if session is not None:
        acked = "acknowledged" if session["acknowledged"] else "not acknowledged yet"
        rows.append(
            f"call: {session['kind']}, {counted(session['messages'], 'message')}, {acked}, dialled {counted(session['dials'], 'time')}"
        )
    if "acknowledged" in latency:
        took = f"message made {latency['made']:.1f} ms, acknowledged {latency['acknowledged']:.1f} ms"
        rows.append(f"last crash: {took} after the frame that told of it")
    rows.append(f"read: {counted(status['frames'], 'crash frame')}; in memory: {counted(status['places'], 'place')}")
    width = max(map(len, status["checks"]))
    for name, found in status["checks"].items():
        rows.append(f"  {name:<{width}}  {'ok' if found is None else _finding(found)}")
    return [*rows, *(f"problem: {name}: {text}" for name, text in status["problems"].items())]


def _finding(found: Entry) -> str:
    return f"{found['severity']} {found['code']}: {found['text']}: {found['hint']}"


def document_of(msd: Msd) -> Document:
    """As it is printed."""
    halves: dict[str, Any] = {}
    for half in HALVES:
        mas = getattr(msd, f"{half}_mas")
        halves |= {f"{half}_mas": mas, f"{half}_deg": None if mas == UNKNOWN_MAS else round(mas / MAS_PER_DEG, 7)}
    same = {name: getattr(msd, name) for name in Document.__struct_fields__ if name not in halves}
    additional = msd.additional_data and Additional(msd.additional_data.oid, msd.additional_data.data.hex().upper())
    return Document(**(same | halves | {"propulsion": sorted(msd.propulsion), "additional_data": additional}))


def msd_of(document: Document) -> Msd:
    """As it was read. Raises MsdError, which names the field, for what contradicts itself."""
    fields: dict[str, Any] = {name: getattr(document, name) for name in Document.__struct_fields__ if not name.endswith("_deg")}
    fields |= {f"{half}_mas": _mas(document, half) for half in HALVES}
    if document.additional_data is not None:
        try:
            fields["additional_data"] = AdditionalData(document.additional_data.oid, bytes.fromhex(document.additional_data.data))
        except ValueError as error:
            raise MsdError("additionalData", "data is not hexadecimal", "give the bytes as pairs of 0-9 and A-F") from error
    return Msd(**(fields | {"propulsion": frozenset(document.propulsion)}))


def _mas(document: Document, half: str) -> int:
    mas, deg = getattr(document, f"{half}_mas"), getattr(document, f"{half}_deg")
    from_deg = mas if deg is msgspec.UNSET else UNKNOWN_MAS if deg is None else round(deg * MAS_PER_DEG)
    if from_deg is msgspec.UNSET:
        raise MsdError(f"{half}_mas", "missing", f"give it, or {half}_deg")
    if mas not in (msgspec.UNSET, from_deg):
        raise MsdError(f"{half}_deg", f"it says otherwise than {half}_mas", "leave one of them out")
    return int(from_deg)


def _text(document: Document) -> list[str]:
    """For a person: a line for each field, by its name in EN 15722, and what the numbers mean."""
    rows = msgspec.to_builtins(document)
    meant = {
        "timestamp": _moment(document.timestamp_s),
        "vehicleDirection": "unknown" if document.vehicle_direction == DIRECTION_UNKNOWN else f"{2 * document.vehicle_direction} degrees",
    }
    width = max(map(len, rows))
    said = ((name, _said(value), meant.get(name)) for name, value in rows.items())
    return [f"{name:<{width}}  {value}{f'  ({more})' if more else ''}" for name, value, more in said]


def _said(value: object) -> str:
    match value:
        case None:
            return "not given"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value)) or "none"
        case dict():
            return " ".join(map(str, value.values()))
        case _:
            return str(value)


def _moment(timestamp_s: int) -> str:
    return f"{datetime.fromtimestamp(timestamp_s, UTC):%Y-%m-%d %H:%M:%S} UTC" if timestamp_s else "the clock had failed"

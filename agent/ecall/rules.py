"""[crash] of a vehicle file, resolved against its DBC files: which frames say that the car has crashed, and what counts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cantools.database.can import Message

from agent.crash import CrashCrc, CrashFrame, CrashSign
from agent.ecall.crc import CHECKSUMS
from agent.errors import ConfigError
from agent.expression import Expression, parse
from agent.model import Finding
from agent.vehicle import Vehicle, frame_id

Values = Mapping[str, Any]


@dataclass(slots=True)
class FrameRule:
    """One [[crash.frame]], resolved, and what was seen of it."""

    bus: str
    can_id: int
    message: Message
    when: Expression
    inhibit: tuple[Expression, ...] = ()
    counter: tuple[str, int] | None = None
    crc: CrashCrc | None = None
    calm: bool = False
    """Whether it has said, since the beginning, that there was no crash."""
    calm_ns: int | None = None
    """When it last said so, if that was its last word."""
    cyclic: bool = False
    """Whether it speaks all the time, and not only of a crash: it has said so twice in a row."""
    since_boot: bool = False
    """Whether it has said from the beginning on that there was one."""
    told: bool = False
    """Whether the crash of which it speaks now has been told."""
    count: int | None = None
    last_ns: int | None = None
    """When it last said so."""
    between: int = 0


@dataclass(slots=True)
class SignRule:
    """One [[crash.sign]], resolved. `rose_ns`: when it last came to hold; `held`: whether it holds, None before anything is known."""

    bus: str
    can_id: int
    message: Message
    when: Expression
    held: bool | None = None
    rose_ns: int | None = None


def said(rule: FrameRule, values: Values, data: bytes) -> bool | None:
    """Whether a frame says that there is a crash; None for one that counts for nothing."""
    if rule.crc is not None:
        first, last = rule.crc.covers
        if last >= len(data) or values.get(rule.crc.signal) != CHECKSUMS[rule.crc.kind](data[first : last + 1]):
            return None
    look = lookup(values, "")
    if any(condition.value(look) is not False for condition in rule.inhibit):
        return None
    return rule.when.value(look)


def lookup(values: Values, prefix: str) -> Callable[[str], Any]:
    """What a condition asks for a signal's value, by its name after `prefix`."""
    return lambda name: values.get(name.removeprefix(prefix))


def decoded(message: Message, data: bytes) -> Values | None:
    """The signals, scaled and without names of values; None for a frame that is too short or makes no sense."""
    try:
        decoded = message.decode(data, decode_choices=False)
    except Exception:  # noqa: BLE001  cantools raises many kinds, and none of them may cost the program its life
        return None
    return decoded if isinstance(decoded, dict) else None


def rules_of(vehicle: Vehicle) -> tuple[list[FrameRule], list[SignRule], list[Finding]]:
    """What of [crash] can be used, and why the rest cannot."""
    findings: list[Finding] = []
    frames = [_frame_rule(vehicle, frame, findings) for frame in vehicle.file.crash.frames]
    signs = [_sign_rule(vehicle, sign, findings) for sign in vehicle.file.crash.signs]
    return [rule for rule in frames if rule is not None], [rule for rule in signs if rule is not None], findings


def _frame_rule(vehicle: Vehicle, frame: CrashFrame, findings: list[Finding]) -> FrameRule | None:
    where = f"crash.frame 0x{frame.id:X}"
    message = vehicle.crash_messages.get((frame.bus, frame.id))
    if message is None:
        findings.append(_unusable(where, f"no DBC file of bus {frame.bus} has this message", "correct bus and id"))
        return None
    try:
        when, inhibit = parse(frame.when), tuple(map(parse, frame.inhibit))
    except ConfigError as error:
        findings.append(_unusable(where, str(error), error.hint))
        return None
    named = when.signals.union(*(one.signals for one in inhibit))
    named |= {one.signal for one in (frame.counter, frame.crc) if one is not None}
    if missing := sorted(named - {signal.name for signal in message.signals}):
        findings.append(_unusable(where, f"{message.name} has no signal {missing[0]}", "use signals of this message"))
        return None
    counter = None if frame.counter is None else (frame.counter.signal, frame.counter.modulo)
    return FrameRule(frame.bus, frame.id, message, when, inhibit, counter, frame.crc)


def _sign_rule(vehicle: Vehicle, sign: CrashSign, findings: list[Finding]) -> SignRule | None:
    where = f"crash.sign {sign.when!r}"
    try:
        when = parse(sign.when)
    except ConfigError as error:
        findings.append(_unusable(where, error.what, error.hint))
        return None
    names = {name.partition(".")[0] for name in when.signals}
    message = vehicle.crash_messages.get((sign.bus, next(iter(names)))) if len(names) == 1 else None
    known = set() if message is None else {f"{message.name}.{signal.name}" for signal in message.signals}
    if message is None or not when.signals <= known:
        findings.append(_unusable(where, f"no message of bus {sign.bus} has all its signals", "write MESSAGE.SIGNAL of one message"))
        return None
    return SignRule(sign.bus, frame_id(message), message, when)


def _unusable(where: str, what: str, hint: str) -> Finding:
    return Finding(code="crash-unusable", severity="error", text=f"vehicle.toml: {where}: {what}", hint=hint)

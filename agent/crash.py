"""[crash] of vehicle.toml: which frames say that the car has crashed. Its form alone; the emergency call reads it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: frozen, and a key that is not declared is an error."""


class CrashCounter(_Strict, frozen=True, kw_only=True):
    """A signal that each frame has one more in than the one before."""

    signal: str
    modulo: Annotated[int, Meta(ge=2)]


class CrashCrc(_Strict, frozen=True, kw_only=True):
    """A signal that holds the checksum of the payload's bytes from the first to the second of `covers`, counted from 0."""

    signal: str
    kind: Literal["sae-j1850", "autosar-8h2f"]
    covers: tuple[Annotated[int, Meta(ge=0, le=63)], Annotated[int, Meta(ge=0, le=63)]]


class CrashFrame(_Strict, frozen=True, kw_only=True):
    """[[crash.frame]]; read by the emergency call. Conditions name signals of the DBC's message."""

    bus: str
    id: int
    when: str
    counter: CrashCounter | None = None
    crc: CrashCrc | None = None
    inhibit: tuple[str, ...] = ()


class CrashSign(_Strict, frozen=True, kw_only=True):
    """[[crash.sign]]: a second, independent sign. Its condition names MESSAGE.SIGNAL of one message."""

    bus: str
    when: str


class Crash(_Strict, frozen=True, kw_only=True, rename={"frames": "frame", "signs": "sign"}):
    """[crash]"""

    frames: tuple[CrashFrame, ...] = ()
    signs: tuple[CrashSign, ...] = ()

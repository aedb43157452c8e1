"""What is known of a device when its health is judged: plain facts, gathered elsewhere, so that each check can be shown any fault.

None of them is a value of the car, a place, a VIN or a number of a modem's. None means: nobody has looked, or nobody can tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw.can.interface import Interface

NOT_ALLOWED = "this user may not look; root may"
Told = Mapping[str, Any]
"""What a program says of itself (`status`, `ecall.status`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusFacts:
    """One CAN bus. `problem`: why it is not read, empty while it is; `quiet`: wanted messages of which nothing comes.

    `lost`: frames that nobody had room for. `software_gate`: an interface of the kernel's behind the agent's own gate. `good`, `errors`:
    frames and error frames of a look at the whole bus; `load`: 0 to 1; `stranger`: not one of these frames has an identifier of the
    vehicle's DBC files. `unseen`: why nobody could look, empty where somebody did.
    """

    name: str
    where: str = ""
    problem: str = ""
    quiet: tuple[str, ...] = ()
    lost: int = 0
    interface: Interface | None = None
    good: int | None = None
    errors: int = 0
    load: float | None = None
    stranger: bool = False
    software_gate: bool = False
    unseen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverFacts:
    """The satellite receiver. `good`, `bad`: sentences that were and were not readable; ages in seconds, None: never yet.

    `problem`: why its port is not read, empty while it is. `watched_s`: for how long somebody has looked; infinite: for as long as it
    takes. `satellites`: of the last epoch. `unseen`: why nobody could look, empty where somebody did.
    """

    port: str
    unseen: str = ""
    problem: str = ""
    good: int = 0
    bad: int = 0
    heard_age_s: float | None = None
    fix_age_s: float | None = None
    watched_s: float = math.inf
    satellites: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFacts:
    """`host_s`: the host's own time, seconds since 1970. `trusted`: None where core does not say."""

    host_s: float
    source: str = ""
    trusted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashFacts:
    """Of an eMMC, as it tells itself (JEDEC 5.0): `life_tenths` 1 to 10 tenths used, 11 beyond its life; `spare` 1 normal to 3 urgent."""

    life_tenths: int = 0
    spare: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """The file system of the state folder. `problem`: why it cannot be looked at. `written_per_day`: bytes to its whole device."""

    folder: Path
    problem: str = ""
    total: int = 0
    free: int = 0
    inodes: int = 0
    inodes_free: int = 0
    read_only: bool = False
    flash: FlashFacts | None = None
    written_per_day: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapFacts:
    """`on`: whether this system swaps; None where it does not say. `open`: our services that run and that nothing keeps out of it."""

    on: bool | None
    open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """`missing`: what is not there, `cure`: what to do about it; `wrong`: why the credential does not open the key block.

    `open`, `issued`: files that others can read: what `modicum keys` made, and private keys of pairs that somebody issued.
    `unseen`: why nobody could look, empty where somebody did. `at_rest` as `status` says it.
    """

    at_rest: str = ""
    missing: str = ""
    cure: str = ""
    wrong: str = ""
    open: tuple[str, ...] = ()
    issued: tuple[str, ...] = ()
    unseen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """A certificate that agent.toml names. Times in seconds since 1970. `matches`: whether its key belongs to it; None without one.

    `unseen`: why nobody could look, empty where somebody did.
    """

    what: str
    file: Path
    unseen: str = ""
    problem: str = ""
    begins_s: float = 0.0
    ends_s: float = 0.0
    matches: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerFacts:
    """A try to speak to a broker, as one of its lanes does. `step`: which one failed, empty where all went well; `why`: in words.

    Steps: region, credential, address, connect, certificate, handshake, answer, refused, acl. `round_trip_ms`: of an empty
    message and its acknowledgement, of CONNECT and its answer where nothing was published, or of TLS alone. `unseen`: why nobody could try.
    """

    name: str
    lane: str
    unseen: str = ""
    step: str = ""
    why: str = ""
    round_trip_ms: float | None = None
    published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything. `core`, `ecall`: what the running programs say, None where they do not answer, and why; `receiver` None: none configured.

    `ecall_wanted`: whether this device has an emergency call.
    """

    clock: ClockFacts
    core: Told | None = None
    core_why: str = ""
    ecall: Told | None = None
    ecall_why: str = ""
    ecall_wanted: bool = False
    quota_bytes: int = 0
    buses: tuple[BusFacts, ...] = ()
    receiver: ReceiverFacts | None = None
    disk: DiskFacts | None = None
    swap: SwapFacts | None = None
    keys: KeyFacts = field(default_factory=KeyFacts)
    certificates: tuple[CertificateFacts, ...] = ()
    brokers: tuple[BrokerFacts, ...] = ()

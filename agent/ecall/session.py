"""What is known of one emergency call: its message, what became of it, its calls. Kept in memory, and as one document for a restart.

The document names a vehicle and a place. It may lie in a file system in RAM and nowhere else, and goes when the call is cleared down.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Self

import msgspec

from agent.ecall.positions import Place, Ring
from agent.ecall.table import State

Kind = Literal["automatic", "manual", "test"]
FORM = 1


@dataclass(slots=True)
class Session:
    """Moments are nanoseconds of CLOCK_BOOTTIME, which goes on across a restart of the program and not across one of the device.

    `incident_s`: UTC, 0 where the clock was not trusted; it stays the same in every message. `reply_key`: the centre's answers are
    signed with it. `octets`: the message with `identifier`, made at `made_ns` of `place`. `sent`: how often that one was sent;
    `next_ns`: when it is due again; `unheard_ns`: since when the centre has acknowledged nothing new; `texted`: the identifier that
    went as SMS since then. `dials`: how often was dialled; `redial_ns`: when the next time is; `drops`: redials after a drop,
    `dropped_ns` the last of them; `voice`: whether any call was up.
    """

    id: str
    kind: Kind
    begun_ns: int
    incident_s: int
    reply_key: bytes = field(default=b"", repr=False)
    identifier: int = 0
    octets: bytes = field(default=b"", repr=False)
    made_ns: int = 0
    place: Place | None = field(default=None, repr=False)
    sent: int = 0
    next_ns: int = 0
    acked: bool = False
    ever_acked: bool = False
    texted: int = 0
    ever_texted: bool = False
    unheard_ns: int = 0
    dials: int = 0
    redial_ns: int = 0
    drops: int = 0
    dropped_ns: int = 0
    voice: bool = False


@dataclass(slots=True)
class Standing:
    """All that outlives the process: the state, its session, and until when which wait lasts.

    `state_ns`: since when the state holds. `answers_until_ns`: until when the centre's call is answered after clear-down.
    `places`: the last ones, in a document only and only while a session is on.
    """

    state: State = State.IDLE
    state_ns: int = 0
    answers_until_ns: int = 0
    session: Session | None = field(default=None, repr=False)
    places: tuple[Place, ...] = field(default=(), repr=False)
    form: int = FORM

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to keep."""
        return self.state is State.IDLE and self.session is None

    def document(self, ring: Ring) -> bytes:
        """As it is written, with the places where they belong to a call."""
        return msgspec.json.encode(replace(self, places=tuple(ring) if self.session else ()))

    @classmethod
    def read(cls, document: bytes) -> Self:
        """What `document` wrote. Raises ValueError for everything else."""
        try:
            found = msgspec.json.decode(document, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError("no document of a call") from error
        if found.form != FORM:
            raise ValueError("the document of another version")
        return found

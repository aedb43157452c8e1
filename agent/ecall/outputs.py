"""What the machine of the emergency call asks of the world, in the order in which it is to be done."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Save:
    """Keep this for a restart, in RAM; None: keep nothing, and leave nothing of what was kept."""

    document: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Publish the message to the centre."""

    session: str
    identifier: int
    test: bool
    octets: bytes = field(repr=False)
    reply_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Text:
    """Send the message as SMS."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Dial:
    """Call the centre, or the number for tests; a call that stands already is taken for it."""

    test: bool


@dataclass(frozen=True, slots=True)
class Look:
    """Say whether a call stands."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Pick up."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End every call."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A session is over: what may be known of it, without its content and without a place.

    `told`: the centre acknowledged one of its `messages`, or one went as SMS.
    """

    session: str
    kind: str
    told: bool
    voice: bool
    messages: int
    lasted_s: float


Output = Save | Send | Text | Dial | Look | Answer | HangUp | Ended

"""What the world tells the machine of the emergency call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crashed:
    """The vehicle's trigger fired."""


@dataclass(frozen=True, slots=True)
class SosHeld:
    """The button was held long enough."""


@dataclass(frozen=True, slots=True)
class TestAsked:
    """Somebody in the car asks for a test call."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The occupant takes the button back."""


@dataclass(frozen=True, slots=True)
class Link:
    """The connection to the centre's broker stands, or does not."""

    up: bool


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The centre has this message. A broker's word is none."""

    session: str
    identifier: int


@dataclass(frozen=True, slots=True)
class UpdateWanted:
    """The centre has this message and asks how it is now; said again, it asks for nothing more."""

    session: str
    identifier: int


@dataclass(frozen=True, slots=True)
class ClearedDown:
    """The centre has done what there was to do."""

    session: str


@dataclass(frozen=True, slots=True)
class CallUp:
    """Somebody hears."""


@dataclass(frozen=True, slots=True)
class CallOver:
    """It ended, or never came to be."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """Somebody calls."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """There is a newer position."""


Happening = (
    Crashed | SosHeld | TestAsked | Cancelled | Link | Acknowledged | UpdateWanted | ClearedDown | CallUp | CallOver | Ringing | Fixed
)

"""When the SOS button counts as held: edges with their moments go in, one "held" for each press comes out. No device and no clock in it.

- Held is pressed for HELD_S without a release; it is told once, however long the finger stays.
- A press that began before anybody listened never counts: a button that is stuck must not call for help at each start. Released
  once, it is a button like any other.
- A level that lasts less than BOUNCE_S is none, neither a release nor a press. Contacts bounce for some milliseconds and a car shakes
  the finger, so such a release must not begin the 1.5 s anew; and a wire that hums at 50 Hz or is chattering is no finger.
- In a bounce nothing is held: it may be the release. If it was not, that is told with the edge that ends it.
- Two edges to the same level are a bounce too: the kernel reads the level some time after the interrupt, and found it back again.
  Edges that it dropped are another matter, and the line's (hw/sos/kernel.py).

Each answer holds for the moment that it is asked for, so a thread that comes late finds what one in time had found.
"""

from __future__ import annotations

HELD_S = 1.5
BOUNCE_S = 0.03
"""Longer than a switch bounces (some 10 ms), shorter than a finger takes to let go and press again."""
STUCK_S = 30.0
"""Nobody presses for longer: the button or its wire is broken."""
NS = 1_000_000_000
HELD_NS, BOUNCE_NS, STUCK_NS = int(HELD_S * NS), int(BOUNCE_S * NS), int(STUCK_S * NS)


class Hold:
    """One line, found `active` at `t_ns`. Moments are nanoseconds of any one clock that never goes back."""

    def __init__(self, *, active: bool, t_ns: int) -> None:
        self._active, self._since_ns = active, t_ns
        """The level of the last edge, and when that was."""
        self._pressed, self._began_ns = active, t_ns
        """The level without bounces, and when it began."""
        self._spent = active
        """This press has been told, or is none that counts."""

    def edge(self, *, active: bool, t_ns: int) -> bool:
        """The line changed to `active`. Whether the press became held by then."""
        held = self.passed(t_ns)
        self._active, self._since_ns = active, t_ns
        return self.passed(t_ns) or held

    def passed(self, t_ns: int) -> bool:
        """There was no further edge until `t_ns`. Whether the press became held by then."""
        self._settle(t_ns)
        due_ns = self.due_ns()
        if due_ns is None or t_ns < due_ns:
            return False
        self._spent = True
        return True

    def due_ns(self) -> int | None:
        """When the press will be held if no edge comes before; None where none will."""
        if not self._active or self._spent:
            return None
        return (self._began_ns if self._pressed else self._since_ns) + HELD_NS

    def stuck(self, t_ns: int) -> bool:
        """Whether it has been pressed for longer than STUCK_S, counted from when somebody first looked."""
        self._settle(t_ns)
        return self._pressed and t_ns - self._began_ns > STUCK_NS

    def _settle(self, t_ns: int) -> None:
        """A level that has lasted is one."""
        if self._active != self._pressed and t_ns - self._since_ns >= BOUNCE_NS:
            self._pressed, self._began_ns, self._spent = self._active, self._since_ns, False

"""How long the emergency call waits for what: numbers alone, each with where it comes from.

EN 16454 and EN 16062 are cited as modem makers' guides give them; where no standard has a number it is ours.
A bench may shorten them in [ecall.timers] of agent.toml.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """All of them. What repeats names its last entry for all that follow."""

    countdown_s: float = 5.0
    """After the button, in which the occupant may cancel. Ours; an automatic call has none."""
    transfer_s: float = 20.0
    """T7 of EN 16062: after it the transfer counts as failed, and other ways are tried beside it (SMS, where it is allowed)."""
    retry_s: tuple[float, ...] = (1.0, 2.0, 4.0, 5.0)
    """Between two sendings of the same message, while `fast_s` last."""
    fast_s: float = 120.0
    slow_s: float = 30.0
    """Between two sendings after that, until `clear_down_s`."""
    setup_s: float = 60.0
    """A call that is neither up nor over by then is given up. Ours."""
    redial_s: tuple[float, ...] = (5.0, 60.0, 60.0, 60.0, 180.0)
    """Before a call that never came to be is tried again; as the public implementations have it (said to be TS 22.001)."""
    dials_max: int = 10
    drop_redials_max: int = 2
    """After a call that was up has dropped before the centre had the message: at once, so often (EN 16062, 7.12.4)."""
    drop_redial_s: float = 120.0
    """And no later than this after the drop before: the centre calls back after 180 s."""
    clear_down_s: float = 3_600.0
    """T2 of EN 16454: after it the vehicle clears down by itself, where no call is up."""
    callback_s: float = 3_600.0
    """T9 of EN 16454: so long after the clear-down the centre's call is answered."""
    erase_s: float = 13 * 3_600.0
    """Nothing of a call is kept longer than this after its start (Regulation (EU) 2017/78, annex I part 3)."""
    update_s: float = 5.0
    """Between two messages whose only news is a better position. Ours."""
    update_m: float = 50.0
    """So much better or elsewhere it is, at least. Ours."""

    def __post_init__(self) -> None:
        """Raises ValueError for a wait that is none."""
        for name in ("retry_s", "redial_s"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        for one in fields(self):
            waits = getattr(self, one.name)
            if any(wait <= 0 for wait in (waits if isinstance(waits, tuple) else (waits,))):
                raise ValueError(f"{one.name} is not above 0")


def ns(seconds: float) -> int:
    """Nanoseconds."""
    return round(seconds * NS)

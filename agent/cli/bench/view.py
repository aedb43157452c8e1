"""The live view of a run in a terminal: one screen, a pure function of what is known and of the terminal's size.

Promises exactly as many rows and columns as the terminal has, whatever is known; what is too long is cut with a mark, never wrapped
by the terminal. Says everything in words, so that it can be read without colour; with `unicode` false every character is ASCII.
Decides nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from agent.cli.bench import listing
from agent.cli.bench.fitting import ACCENT, ALARM, SOFT, Size, cut, fitted, padded
from agent.cli.bench.picture import CAR, EXACT, FILLED, SILENT, SQUARE, START, TOLD, Spot, draw, frame_of, scale
from agent.cli.bench.places import Metres, Place, places
from agent.cli.bench.standing import trimmed_m
from agent.cli.bench.telling import Run
from agent.cli.live import INDICATOR
from agent.cli.streams import Entry
from agent.cli.words import counted, length

WIDE = 110
"""From so many columns on the numbers have longer names."""
PICTURE_FROM = Size(60, 7)
"""With less between the rows above and those below there is no room for the picture."""
PICTURE_SHARE, GAP = 0.42, 2
SAID_ROWS_MAX = 2
CONFIG_S = 12.0
"""So long at the beginning one reads how another terminal reaches the agent."""
KEYS = (("Tab", "next"), ("g", "grant"), ("w", "withdraw"), ("l", "cut the link"), ("c", "crash the car"), ("q", "end"))
RESTORE = "restore link"
NO_KEYS = " No keys: stdin is no terminal. Ctrl-C ends the run."
UNTOLD = "the centre does not know of it yet"
CALLING = "the centre is called, and the message waits for the link"
STATES = {"YES": "granted", "NO": "refused", "IN_VEHICLE": "for use in the car only", "NOT_SET": "not granted"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a run at one moment. `status`, `live`, `consent`: as the agent answers; `way`: the truth, `kmh` among it.

    `picked` counts through the consent items; `call`: what became last of the emergency call, `place_told`: whether its centre has a
    place; `keys`: whether there are any; `said`: what a key did, for as long as it is shown.
    """

    run: Run
    title: str
    config: str
    elapsed_s: float
    seconds: float
    status: Entry
    live: Entry
    consent: Sequence[Entry]
    way: Sequence[Spot]
    flat: Callable[[float, float], Metres]
    kmh: float
    picked: int = 0
    link_is_cut: bool = False
    crash_s: float | None = None
    call: str = ""
    place_told: bool = False
    keys: bool = True
    said: str = ""

    @property
    def waiting(self) -> int:
        """Sealed messages in the buffer."""
        return sum(row["rows"] for row in self.status.get("buffer", {}).values())

    @property
    def online(self) -> bool:
        """Whether every connection to the broker stands."""
        return all(lane["online"] for lane in self.status.get("lanes", {}).values())


def screen(known: Known, size: Size, *, unicode: bool) -> Text:
    """The whole screen."""
    columns, rows = size
    above, below = _above(known, columns), _below(known, columns)
    between = max(0, rows - len(above) - len(below))
    lines = [*above, *_middle(known, Size(columns, between), unicode=unicode), *below]
    if len(lines) > rows:
        lines = [*lines[: rows - 1], lines[-1]]
    return Text("\n", no_wrap=True, end="").join(fitted(line, columns, unicode=unicode) for line in lines)


# -- the rows above ---------------------------------------------------------------------------------------------------


def _above(known: Known, columns: int) -> list[Text]:
    time = f"{_clock(known.elapsed_s)} of {_clock(known.seconds)} "
    title = cut(f" modicum bench: {known.title}", columns - len(time) - 1)
    head = Text(title + " " * (columns - cell_len(title) - len(time)) + time, "bold")
    return [head, _progress(known, columns), *_flow(known, columns), _state(known), Text("─" * columns, SOFT)]


def _clock(t_s: float) -> str:
    minutes, seconds = divmod(int(t_s), 60)
    return f"{minutes}:{seconds:02d}"


def _progress(known: Known, columns: int) -> Text:
    done = round(columns * min(1.0, known.elapsed_s / max(known.seconds, 1e-9)))
    return Text("━" * done, ACCENT) + Text("─" * (columns - done), SOFT)


def _flow(known: Known, columns: int) -> list[Text]:
    """From the bus to the broker: five numbers, each far smaller than the one before, and what they count."""
    bus = next(iter(known.status.get("buses", ())), {"read": 0, "delivered": 0})
    sent = known.status.get("acknowledged", 0)
    wide = columns >= WIDE
    steps: tuple[tuple[int, str, str], ...] = (
        (bus["read"], "frames on the car's bus" if wide else "frames on bus", ""),
        (bus["delivered"], "taken by the agent" if wide else "taken", ""),
        (known.status.get("samples", 0), "samples made of them" if wide else "samples", ""),
        (known.waiting, "sealed, buffered" if wide else "buffered", ALARM if known.waiting and known.link_is_cut else ""),
        (sent, "messages sent" if wide else "sent", ACCENT),
    )
    numbers, labels, width = Text(), Text(style=SOFT), columns // len(steps)
    for index, (number, label, style) in enumerate(steps):
        arrow = "→ " if index else " "
        numbers.append(arrow, SOFT).append(f"{number:,}".ljust(width - len(arrow)), f"bold {style}")
        labels.append(" " * len(arrow) + cut(label, width - 3).ljust(width - len(arrow)))
    return [numbers, labels]


def _state(known: Known) -> Text:
    """The indicator, who drives, how fast, and the link."""
    indicator = known.live.get("indicator", "off")
    text = Text(" ")
    text.append("○ " if indicator == "off" else "● ", ACCENT).append(INDICATOR[indicator], "bold")
    text.append(f"   driver: {known.live.get('profile', 'nobody yet')}   {known.kmh:.0f} km/h   link: ")
    if known.link_is_cut:
        return text.append("CUT", f"{ALARM} reverse")
    return text.append("up") if known.online else text.append("down", ALARM)


# -- streams and picture ----------------------------------------------------------------------------------------------


def _middle(known: Known, size: Size, *, unicode: bool) -> list[Text]:
    columns, rows = size
    alone = columns < PICTURE_FROM.columns or rows < PICTURE_FROM.rows
    beside = 0 if alone else int(columns * PICTURE_SHARE)
    room = Size(columns - beside - (GAP if beside else 0), rows)
    streams = padded(listing.streams(known.run, known.live.get("last_sent", {}), known.elapsed_s, room), rows)
    pictures = padded(_where(known, Size(beside, rows), unicode=unicode) if beside else [], rows)
    return [Text.assemble(fitted(stream, columns - beside), picture) for stream, picture in zip(streams, pictures, strict=True)]


def _where(known: Known, size: Size, *, unicode: bool) -> list[Text]:
    """The picture with what its signs mean."""
    gone = places(known.run)
    legend = _legend(gone, called=known.place_told)
    frame = frame_of(known.way, gone, known.flat, size.columns, max(size.rows - len(legend) - 1, 1))
    drawn = draw(known.way, gone, known.flat, frame, braille=unicode)
    return [listing.heading("WHERE THE CAR WAS", scale(frame)), *drawn, *legend]


def _legend(gone: Sequence[Place], *, called: bool) -> list[Text]:
    way = Text.assemble(
        (START, SILENT.style), " start ", (CAR, ALARM), " car ", ("━━", TOLD.style), " told ", ("· ·", SILENT.style), " not told"
    )
    widths = sorted({one.width_m for one in gone if one.width_m is not None})
    squares, exact = sum(one.width_m is not None for one in gone), sum(one.width_m is None for one in gone)
    said = Text()
    if exact:
        said.append(EXACT, f"bold {SQUARE}").append(f" {counted(exact, 'exact place')} ")
    if squares:
        said.append("■", f"{SQUARE} {FILLED}").append(f" {counted(squares, 'square')} of {' and '.join(map(length, widths))}")
    return [way, said if gone else Text("To the emergency centre alone." if called else "No place has left the car.")]


# -- the rows below ---------------------------------------------------------------------------------------------------


def _below(known: Known, columns: int) -> list[Text]:
    said = known.said or _hint(known)
    rows = textwrap.wrap(said, max(columns - 2, 8), max_lines=SAID_ROWS_MAX, placeholder=" ...")
    told = [Text(f" {line}", "bold" if known.said else SOFT) for line in rows]
    return [Text("─" * columns, SOFT), *told, _item(known), _keys(known, columns)]


def _hint(known: Known) -> str:
    """What there is to see just now, in a sentence: the first that is so."""
    crashed_s = known.crash_s or 0.0
    sentences = (
        (known.link_is_cut and known.crash_s is not None, f"The car crashed and the link is cut: {known.call or CALLING}."),
        (known.link_is_cut, f"The link is cut: {counted(known.waiting, 'sealed message')} in the car until it is restored."),
        (not known.online, "The link is there; the agent tries to connect again by itself, after a pause of up to a minute."),
        (known.elapsed_s < CONFIG_S, f"Another terminal can ask: --config {known.config}"),
        (known.crash_s is not None, f"The car crashed at {_clock(crashed_s)}: {known.call or UNTOLD}."),
        (True, _where_told(known)),
    )
    return next(sentence for holds, sentence in sentences if holds)


def _where_told(known: Known) -> str:
    """Of the places that left, the most that anybody learnt."""
    if known.place_told:
        return f"The emergency centre was told the exact place; {known.call}"
    gone, near_m = places(known.run), trimmed_m(known.run.chronicle.plan)
    exact, squares = (sum((one.width_m is None) is alone for one in gone) for alone in (True, False))
    if exact:
        return f"{counted(exact, 'exact place')} and {counted(squares, 'square')} were told; the list says to whom."
    if squares:
        return "Of the place a square is all that was told: the car was somewhere in it."
    if near_m and known.live.get("indicator") == "position":
        return f"No place has left yet: of the first {near_m:g} m of a trip nothing is told without being asked."
    return "No place has left the car."


def _item(known: Known) -> Text:
    """The consent item that g and w speak of."""
    if not known.consent:
        return Text(" The agent has not said yet what can be granted.", SOFT)
    at = known.picked % len(known.consent)
    item = known.consent[at]
    return Text.assemble(
        (f" {at + 1}/{len(known.consent)} ", SOFT), (item["item"], "bold"), ": ", (_granted(item), ACCENT), (f"  {item['title']}", SOFT)
    )


def _granted(item: Entry) -> str:
    state = STATES[item["state"]]
    if item["state"] != "YES":
        return state
    return f"{state} for this trip" if item["trip"] else f"{state} until {item['until'][:10]}" if item["until"] else state


def _keys(known: Known, columns: int) -> Text:
    if not known.keys:
        return Text(NO_KEYS, SOFT)
    text = Text()
    for key, does in KEYS:
        text.append(" ").append(f" {key} ", "reverse").append(f" {RESTORE if key == 'l' and known.link_is_cut else does}")
    agent = f"   agent: --config {known.config} "
    return text.append(agent, SOFT) if text.cell_len + len(agent) <= columns else text

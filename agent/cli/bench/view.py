"""The live view of a run in a terminal: one screen, a pure function of what is known and of the terminal's size.

Promises exactly as many rows and columns as the terminal has, whatever is known; what is too long is cut with a mark, never wrapped
by the terminal. Says everything in words, so that it can be read without colour; with `unicode` false every character is ASCII.
Decides nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from agent.cli.bench.canvas import Metres
from agent.cli.bench.picture import CAR, EXACT, FILLED, SILENT, SQUARE, START, TOLD, Place, Spot, draw, frame_of, places, scale
from agent.cli.bench.report import WITHDRAWN, Run
from agent.cli.bench.standing import Row, barred, idle, left, trimmed_m
from agent.cli.live import INDICATOR
from agent.cli.streams import Entry
from agent.cli.words import counted, metres

WIDE = 110
"""From so many columns on a stream is told with what it last said and what it waits for."""
PICTURE_FROM = (60, 16)
"""In a smaller terminal there is no room for the picture."""
PICTURE_SHARE, GAP = 0.42, 2
SAID_ROWS_MAX = 2
LEAST = 12
"""In less than so many columns nothing is begun that would be cut."""
KEPT = (0, 5, 2)
"""So many rows the second and third section have at least, where they have so much to say."""
ASCII = str.maketrans(
    {"●": "*", "○": "o", "━": "=", "─": "-", "├": "|", "┤": "|", "→": ">", "…": "~", "■": "#", "◆": "x", "✗": "x", "·": "."}
)
KEYS = (("Tab", "next"), ("g", "grant"), ("w", "withdraw"), ("l", "cut the link"), ("c", "crash the car"), ("q", "end"))
RESTORE = "restore the link"
NO_KEYS = " No keys: stdin is no terminal. Ctrl-C ends the run."
ACCENT, SOFT, ALARM = "cyan", "dim", "bold red"
STATES = {"YES": "granted", "NO": "refused", "IN_VEHICLE": "for use in the car only", "NOT_SET": "not granted"}


class Size(NamedTuple):
    """Of the terminal, in characters."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a run at one moment. `status`, `live`, `consent`: as the agent answers; `way`: the truth, `kmh` among it.

    `picked` counts through the consent items; `keys`: whether there are any; `said`: what a key did, for as long as it is shown.
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
    return Text("\n", no_wrap=True, end="").join(_fitted(line if unicode else _ascii(line), columns) for line in lines)


# -- the rows above ---------------------------------------------------------------------------------------------------


def _above(known: Known, columns: int) -> list[Text]:
    time = f"{_clock(known.elapsed_s)} of {_clock(known.seconds)} "
    title = _cut(f" modicum bench: {known.title}", columns - len(time) - 1)
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
        (bus["delivered"], "delivered to the agent" if wide else "delivered", ""),
        (known.status.get("samples", 0), "samples made of them" if wide else "samples", ""),
        (known.waiting, "sealed, buffered" if wide else "buffered", ALARM if known.waiting and known.link_is_cut else ""),
        (sent, "messages sent" if wide else "sent", ACCENT),
    )
    numbers, labels, width = Text(), Text(style=SOFT), columns // len(steps)
    for index, (number, label, style) in enumerate(steps):
        arrow = "→ " if index else " "
        numbers.append(arrow, SOFT).append(f"{number:,}".ljust(width - len(arrow)), f"bold {style}")
        labels.append(" " * len(arrow) + _cut(label, width - 3).ljust(width - len(arrow)))
    return [numbers, labels]


def _state(known: Known) -> Text:
    """The indicator, who drives, how fast, and the link."""
    indicator = known.live.get("indicator", "off")
    text = Text(" ")
    text.append("○ " if indicator == "off" else "● ", ACCENT).append(INDICATOR[indicator], "bold")
    text.append(f"   driver: {known.live.get('profile', 'nobody yet')}   {known.kmh:.0f} km/h   link: ")
    if known.link_is_cut:
        return text.append("CUT", f"{ALARM} reverse")
    return text.append("up") if known.online else text.append("down, tried again", ALARM)


# -- streams and picture ----------------------------------------------------------------------------------------------


def _middle(known: Known, size: Size, *, unicode: bool) -> list[Text]:
    columns, rows = size
    if columns < PICTURE_FROM[0] or rows < PICTURE_FROM[1] - 9:
        return _padded(_streams(known, size), rows)
    beside = int(columns * PICTURE_SHARE)
    streams = _padded(_streams(known, Size(columns - beside - GAP, rows)), rows)
    pictures = _padded(_where(known, Size(beside, rows), unicode=unicode), rows)
    return [Text.assemble(_fitted(stream, columns - beside), picture) for stream, picture in zip(streams, pictures, strict=True)]


def _where(known: Known, size: Size, *, unicode: bool) -> list[Text]:
    """The picture with what its signs mean."""
    gone = places(known.run)
    legend = _legend(gone)
    frame = frame_of(known.way, gone, known.flat, size.columns, max(size.rows - len(legend) - 1, 1))
    drawn = draw(known.way, gone, known.flat, frame, braille=unicode)
    return [_heading("WHERE THE CAR WAS", scale(frame)), *drawn, *legend]


def _legend(gone: Sequence[Place]) -> list[Text]:
    way = Text.assemble(
        (START, SILENT.style), " start ", (CAR, ALARM), " car ", ("──", TOLD.style), " way ", ("· ·", SILENT.style), " not told"
    )
    widths = sorted({one.width_m for one in gone if one.width_m is not None})
    squares, exact = sum(one.width_m is not None for one in gone), sum(one.width_m is None for one in gone)
    said = Text()
    if squares:
        said.append("■", f"{SQUARE} {FILLED}").append(f" {counted(squares, 'square')} of {' and '.join(map(metres, widths))} told ")
    if exact:
        said.append(EXACT, f"bold {SQUARE}").append(f" {counted(exact, 'exact place')} told")
    return [way, said if gone else Text("No place has left the car.")]


def _heading(text: str, note: str = "") -> Text:
    return Text.assemble((text, "bold"), (f" {note}" if note else "", SOFT))


class _Section(NamedTuple):
    """A heading, rows of lines below it, and what stands for those for which there is no room."""

    heading: Text
    rows: Sequence[Sequence[Text]]
    rest: Callable[[int], str]


def _streams(known: Known, size: Size) -> list[Text]:
    """Three sections; where there is no room for everything the last ones are the first to become a count."""
    sections = _sections(known, size.columns)
    lines: list[Text] = []
    apart = [Text()] if size.rows >= len(sections) - 1 + sum(1 + sum(map(len, one.rows)) for one in sections) else []
    for index, section in enumerate(sections):
        lines += apart if index else []
        later = zip(sections[index + 1 :], KEPT[index + 1 :], strict=True)
        kept = sum(min(1 + sum(map(len, one.rows)), least) for one, least in later)
        lines += _section(section, size.rows - len(lines) - kept)
    return lines


def _section(section: _Section, room: int) -> list[Text]:
    lines, shown = [section.heading], 0
    whole = sum(map(len, section.rows))
    for row in section.rows:
        over = 0 if shown == len(section.rows) - 1 else 1
        if len(lines) + len(row) + over > room and len(lines) + whole > room:
            break
        lines += row
        whole -= len(row)
        shown += 1
    hidden = len(section.rows) - shown
    return lines + ([Text(f"   {section.rest(hidden)}", SOFT)] if hidden else [])


def _sections(known: Known, columns: int) -> list[_Section]:
    wide, run = columns > WIDE * (1 - PICTURE_SHARE), known.run
    gone = left(run, known.live.get("last_sent", {}), run.start_ns / 1e9 + known.elapsed_s)
    why, idling = barred(run), idle(run)
    values = f"{counted(len(run.lines), 'value')} opened"
    return [
        _Section(
            _heading(" WHAT LEFT THE CAR", values),
            [_left(row, columns, wide=wide) for row in gone],
            lambda n: f"and {counted(n, 'more stream')}",
        ),
        _Section(
            _heading(" WHAT IS WITHHELD, AND WHY"),
            [row for one in why.items() for row in _barred(*one, columns)],
            lambda n: f"and {n} more",
        ),
        _Section(
            _heading(" WHAT IS ALLOWED, AND NOT YET ASKED FOR"),
            [_idle(row, columns, wide=wide) for row in idling],
            lambda n: counted(n, "stream") if n == len(idling) else f"and {counted(n, 'more stream')}",
        ),
    ]


def _left(row: Row, columns: int, *, wide: bool) -> list[Text]:
    title = _cut(row.title, columns - len(row.ago) - 5)
    first = Text.assemble((" ■ ", ACCENT), (title, f"bold {ACCENT}"))
    first.append(row.ago.rjust(columns - first.cell_len - 1), SOFT)
    more = (row.words, "", True), (row.newest, SOFT, wide)
    return [first, *(Text(f"   {_cut(text, columns - 4)}", style) for text, style, shown in more if shown)]


def _barred(why: str, titles: Sequence[str], columns: int) -> list[list[Text]]:
    style = ALARM if why == WITHDRAWN else "magenta"
    words = [Text(f" {line}", style) for line in textwrap.wrap(f"{why}:", columns - 2)]
    first, *others = [[Text(f"   ✗ {_cut(title, columns - 6)}")] for title in titles]
    return [[*words, *first], *others]


def _idle(row: Row, columns: int, *, wide: bool) -> list[Text]:
    title = Text(f" ○ {_cut(row.title, columns - 4)}")
    return [
        title.append(f"  {_cut(row.words, columns - title.cell_len - 3)}", SOFT) if wide and title.cell_len < columns - LEAST else title
    ]


# -- the rows below ---------------------------------------------------------------------------------------------------


def _below(known: Known, columns: int) -> list[Text]:
    said = known.said or _hint(known)
    told = [Text(f" {line}", "bold" if known.said else SOFT) for line in textwrap.wrap(said, max(columns - 2, 1))[:SAID_ROWS_MAX]]
    return [Text("─" * columns, SOFT), *told, _item(known), _keys(known, columns)]


def _hint(known: Known) -> str:
    """What there is to see just now, in a sentence."""
    if known.link_is_cut:
        return f"The link is cut: {counted(known.waiting, 'sealed message')} in the car until it is restored."
    if not known.online:
        return "The link is there; the agent tries to connect again by itself."
    if known.crash_s is not None:
        return f"The car crashed at {_clock(known.crash_s)}."
    gone = places(known.run)
    if gone:
        return "A square is all that was told: the car was somewhere in it."
    near_m = trimmed_m(known.run.chronicle.plan)
    if near_m and known.live.get("indicator") == "position":
        return f"No place has left yet: of the first {near_m:g} m of a trip nothing is told."
    return "No place is told to anybody."


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


# -- exactly so wide --------------------------------------------------------------------------------------------------


def _cut(text: str, columns: int) -> str:
    """The text, or its beginning with a mark."""
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, columns - 1).rstrip() + "…" if columns > 1 else "…"[: max(columns, 0)]


def _fitted(line: Text, columns: int) -> Text:
    """Exactly so wide: cut with a mark, or filled with blanks."""
    line = line.copy()
    over = line.cell_len - columns
    if over > 0:
        line.truncate(max(columns - 1, 0))
        line.append("…"[:columns])
    line.append(" " * (columns - line.cell_len))
    return line


def _ascii(line: Text) -> Text:
    """The same in ASCII, character by character, so that styles stay in their places."""
    made = line.copy()
    made.plain = line.plain.translate(ASCII).encode("ascii", "replace").decode("ascii")
    return made


def _padded(lines: Iterable[Text], rows: int) -> list[Text]:
    kept = list(lines)[:rows]
    return kept + [Text()] * (rows - len(kept))

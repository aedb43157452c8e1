"""The streams of a run as a list that fits: what left, what is withheld and why, what is allowed and waits.

Promises that what is most interesting has its rows first, and that what has no room becomes a count, never nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich.text import Text

from agent.cli.bench.fitting import ACCENT, ALARM, SOFT, Size, cut
from agent.cli.bench.standing import Row, barred, idle, left
from agent.cli.bench.telling import WITHDRAWN, Run
from agent.cli.words import counted

WIDE = 64
"""From so many columns on a stream is told with what it last said, and with what it waits for."""
LEAST = 12
"""In less than so many columns nothing is begun that would be cut."""
KEPT = (0, 5, 2)
"""So many rows the second and third section have at least, where they have so much to say."""


def heading(text: str, note: str = "") -> Text:
    """Of a list or of the picture."""
    return Text.assemble((text, "bold"), (f" {note}" if note else "", SOFT))


class _Section(NamedTuple):
    """A heading, rows of lines below it, and what stands for those for which there is no room."""

    heading: Text
    rows: Sequence[Sequence[Text]]
    rest: Callable[[int], str]

    @property
    def height(self) -> int:
        """With nothing left out."""
        return 1 + sum(map(len, self.rows))


def streams(run: Run, last_sent: Mapping[str, str], elapsed_s: float, size: Size) -> list[Text]:
    """Three sections; where there is no room for everything the last ones are the first to become a count.

    `last_sent`: when the agent sent a stream last, as it says (ISO 8601).
    """
    sections = _sections(run, last_sent, elapsed_s, size.columns)
    lines: list[Text] = []
    apart = [Text()] if size.rows >= len(sections) - 1 + sum(one.height for one in sections) else []
    for index, section in enumerate(sections):
        lines += apart if index else []
        later = zip(sections[index + 1 :], KEPT[index + 1 :], strict=True)
        kept = sum(min(one.height, least) for one, least in later)
        lines += _section(section, size.rows - len(lines) - kept)
    return lines


def _section(section: _Section, room: int) -> list[Text]:
    """As many rows as there is room for, and a count of the others, for which a line is kept."""
    if section.height <= room:
        return [section.heading, *(line for row in section.rows for line in row)]
    lines, shown = [section.heading], 0
    while len(lines) + len(section.rows[shown]) + 1 <= room:
        lines += section.rows[shown]
        shown += 1
    return [*lines, Text(f"   {section.rest(len(section.rows) - shown)}", SOFT)]


def _sections(run: Run, last_sent: Mapping[str, str], elapsed_s: float, columns: int) -> list[_Section]:
    wide, nothing = columns >= WIDE, [[Text("   nothing", SOFT)]]
    gone = left(run, last_sent, run.start_ns / 1e9 + elapsed_s)
    why, idling = barred(run), idle(run)
    values = f"{counted(len(run.lines), 'value')} opened"
    return [
        _Section(
            heading(" WHAT LEFT THE CAR", values),
            [_left(row, columns, wide=wide) for row in gone] or nothing,
            lambda n: f"and {counted(n, 'more stream')}",
        ),
        _Section(
            heading(" WHAT IS WITHHELD, AND WHY"),
            [row for one in why.items() for row in _barred(*one, columns)] or nothing,
            lambda n: f"and {n} more",
        ),
        _Section(
            heading(" WHAT IS ALLOWED, AND HAS NOT LEFT"),
            [_idle(row, columns, wide=wide) for row in idling] or nothing,
            lambda n: counted(n, "stream") if n == len(idling) else f"and {counted(n, 'more stream')}",
        ),
    ]


def _left(row: Row, columns: int, *, wide: bool) -> list[Text]:
    title = cut(row.title, columns - len(row.ago) - 5)
    first = Text.assemble((" ■ ", ACCENT), (title, f"bold {ACCENT}"))
    first.append(row.ago.rjust(columns - first.cell_len - 1), SOFT)
    more = (row.words, "", True), (row.newest, SOFT, wide)
    return [first, *(Text(f"   {cut(text, columns - 4)}", style) for text, style, shown in more if shown)]


def _barred(why: str, titles: Sequence[str], columns: int) -> list[list[Text]]:
    style = ALARM if why == WITHDRAWN else "magenta"
    words = [Text(f" {line}", style) for line in textwrap.wrap(f"{why}:", max(columns - 2, 1))]
    first, *others = [[Text(f"   ✗ {cut(title, columns - 6)}")] for title in titles]
    return [[*words, *first], *others]


def _idle(row: Row, columns: int, *, wide: bool) -> list[Text]:
    title = Text(f" ○ {cut(row.title, columns - 4)}")
    if wide and title.cell_len < columns - LEAST:
        title.append(f"  {cut(row.words, columns - title.cell_len - 3)}", SOFT)
    return [title]

"""Lines that are exactly as wide as the terminal: cut with a mark, filled with blanks, or told in ASCII.

Promises that no line is ever wrapped by the terminal and that every character is one that it can show.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

ACCENT, SOFT, ALARM = "cyan", "dim", "bold red"
ASCII = str.maketrans(
    {"●": "*", "○": "o", "◉": "@", "━": "=", "─": "-", "├": "|", "┤": "|", "→": ">", "…": "~", "■": "#", "◆": "x", "✗": "x", "·": "."}
)
"""What stands for each sign of the view in a terminal that shows nothing else."""


class Size(NamedTuple):
    """Of the terminal, in characters."""

    columns: int
    rows: int


def cut(text: str, columns: int) -> str:
    """The text, or its beginning with a mark."""
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, columns - 1).rstrip() + "…" if columns > 1 else "…"[: max(columns, 0)]


def fitted(line: Text, columns: int, *, unicode: bool = True) -> Text:
    """Exactly so wide, cut with a mark or filled with blanks; in ASCII character by character, so that styles keep their places."""
    line = line.copy()
    line.plain = "".join(char if char.isprintable() else " " for char in line.plain)  # a title may not move the cursor
    if line.cell_len > columns:
        line.truncate(max(columns - 1, 0))
        line.append("…"[:columns])
    if not unicode:
        line.plain = line.plain.translate(ASCII).encode("ascii", "replace").decode("ascii")
    line.append(" " * (columns - line.cell_len))
    return line


def padded(lines: Iterable[Text], rows: int) -> list[Text]:
    """Exactly so many lines."""
    kept = list(lines)[:rows]
    return kept + [Text()] * (rows - len(kept))

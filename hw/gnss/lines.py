"""Complete lines out of a serial stream that may also carry binary.

Owns the bytes between two reads. A partial line is never given out (a serial read with a time-out returns whatever is
there), a line without end is dropped at a cap, and binary between sentences (UBX, RTCM) is skipped. What it gives out is
only a candidate: the checksum decides whether it was a sentence.
"""

from __future__ import annotations

import re

from hw.gnss.at import ANSWER

LINE_BYTES_MAX = 256
"""NMEA 0183 allows 82; makers' own sentences are longer. No line longer than this is given out or waited for."""

_LINE_END = re.compile(rb"[\r\n]")
_COMMENT = re.compile(rb"\s*#[\t\x20-\x7e]*")


class LineAssembler:
    """`feed` bytes as they come; complete lines, from their "$" or "!" to before the line end, come back, and answers of a modem."""

    __slots__ = ("_rest", "skipped_bytes")

    def __init__(self) -> None:
        self._rest = b""
        self.skipped_bytes = 0
        """Bytes that belonged to no line: binary, comments of a log, what went before a "$" on its line."""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, in order."""
        *ended, rest = _LINE_END.split(self._rest + data)
        self._rest = self._bounded(rest)
        lines = (self._line_in(chunk) for chunk in ended)
        return [line for line in lines if line]

    def reset(self) -> None:
        """Forgets the begun line: the stream was interrupted, and what follows does not continue it."""
        self.skipped_bytes += len(self._rest)
        self._rest = b""

    def _bounded(self, rest: bytes) -> bytes:
        """What is kept of a line whose end has not come: all, or from its last start on, or nothing."""
        if len(rest) <= LINE_BYTES_MAX:
            return rest
        kept = rest[_start_in(rest) :]
        if len(kept) > LINE_BYTES_MAX:
            kept = b""
        self.skipped_bytes += len(rest) - len(kept)
        return kept

    def _line_in(self, chunk: bytes) -> bytes:
        start = len(chunk) if _COMMENT.fullmatch(chunk) else 0 if ANSWER.match(chunk) else _start_in(chunk)
        line = chunk[start:]
        if len(line) > LINE_BYTES_MAX:
            line = b""
        self.skipped_bytes += len(chunk) - len(line)
        return line


def _start_in(chunk: bytes) -> int:
    """Where the last sentence of a chunk starts: "$" occurs in none, "!" may occur in the text of one that "$" begins."""
    start = chunk.rfind(b"$")
    if start < 0:
        start = chunk.rfind(b"!")
    return len(chunk) if start < 0 else start

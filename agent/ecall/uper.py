"""Bits of the unaligned packed encoding rules (ITU-T X.691), as far as a minimum set of data needs them. Standard library only."""

from __future__ import annotations

LENGTH_SHORT_MAX, LENGTH_MAX = 127, 16_383
"""One octet says a length up to the first, two octets up to the second (clause 11.9); longer ones come in fragments, which we refuse."""
SMALL_BITS = 6
"""Of a number that is usually small (clause 11.6)."""


class BitsError(ValueError):
    """The octets are no such encoding; the text says why."""


class Writer:
    """Collects bits, the first one the most significant."""

    def __init__(self) -> None:
        self._value, self._width = 0, 0

    def put(self, value: int, width: int) -> None:
        """`value`, which the caller has checked to fit, in `width` bits."""
        self._value, self._width = self._value << width | value, self._width + width

    def put_octets(self, octets: bytes) -> None:
        """A length of at most LENGTH_MAX, and the octets."""
        count = len(octets)
        self.put(count, 8) if count <= LENGTH_SHORT_MAX else self.put(0x8000 | count, 16)
        self.put(int.from_bytes(octets), 8 * count)

    def octets(self) -> bytes:
        """Everything, filled up with zeros to whole octets."""
        missing = -self._width % 8
        return (self._value << missing).to_bytes((self._width + missing) // 8)


class Reader:
    """Takes bits from the front. Everything raises BitsError where there are too few."""

    def __init__(self, octets: bytes) -> None:
        self._value, self._left = int.from_bytes(octets), 8 * len(octets)

    def take(self, width: int) -> int:
        """A number of `width` bits."""
        if width > self._left:
            raise BitsError("it ends too early")
        self._left -= width
        return self._value >> self._left & (1 << width) - 1

    def flag(self) -> bool:
        """One bit."""
        return self.take(1) == 1

    def take_octets(self) -> bytes:
        """A length and so many octets."""
        count = self._length()
        return self.take(8 * count).to_bytes(count)

    def skip_small(self) -> None:
        """A number that is usually small, of which nothing more is known."""
        self._octets_or_small()

    def skip_additions(self) -> None:
        """What a later edition added to an extensible sequence, each addition with its own length (clause 19.7)."""
        present = [self.flag() for _ in range(self._octets_or_small() + 1)]
        for _ in filter(None, present):
            self.take_octets()

    def end(self) -> None:
        """Nothing may follow but zeros: filling, or what is left of a block of fixed size."""
        if self.take(self._left):
            raise BitsError("something follows after its end")

    def _length(self) -> int:
        if not self.flag():
            return self.take(7)
        if self.flag():
            raise BitsError("a part of it is longer than a minimum set of data can be")
        return self.take(14)

    def _octets_or_small(self) -> int:
        if not self.flag():
            return self.take(SMALL_BITS)
        return int.from_bytes(self.take_octets())

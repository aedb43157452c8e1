"""Lines out of a mixed stream: complete or not at all."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hw.gnss.lines import LINE_BYTES_MAX, LineAssembler

SENTENCE = b"$GPVTG,,T,,M,0.1,N,0.2,K,A*27"


def test_a_partial_line_waits_for_its_end() -> None:
    """What a serial read cuts in the middle comes out once, whole."""
    assembler = LineAssembler()
    assert assembler.feed(SENTENCE[:9]) == []
    assert assembler.feed(SENTENCE[9:]) == []
    assert assembler.feed(b"\r\n") == [SENTENCE]


def test_binary_before_a_sentence_is_skipped() -> None:
    """UBX binary on the sentence's own line does not hide it, dollar signs in the binary included."""
    assembler = LineAssembler()
    assert assembler.feed(b"\xb5b\x01\x07$\x00\xff" + SENTENCE + b"\r\n") == [SENTENCE]
    assert assembler.skipped_bytes == 7


def test_two_sentences_run_together_give_the_whole_one() -> None:
    """A sentence that lost its end to the next start is dropped, the next is kept."""
    assert LineAssembler().feed(b"$GPRMC,1234" + SENTENCE + b"\r\n") == [SENTENCE]


def test_comments_of_a_log_are_no_lines() -> None:
    """A comment that names a sentence is not taken for one."""
    assert LineAssembler().feed(b"# odd behaviour of $GPGGA and $GPRMC.\n" + SENTENCE + b"\n") == [SENTENCE]


def test_a_line_without_end_is_dropped_at_the_cap() -> None:
    """However much comes without a line end, little is kept, and the next sentence is found."""
    assembler = LineAssembler()
    for _ in range(100):
        assert assembler.feed(b"$" + b"x" * 999) == []
        assert len(assembler._rest) <= LINE_BYTES_MAX
    assert assembler.feed(b"\n" + SENTENCE + b"\n") == [SENTENCE]


def test_reset_forgets_the_begun_line() -> None:
    """After an interruption the old beginning does not join the new bytes."""
    assembler = LineAssembler()
    assembler.feed(b"$GPRMC,12")
    assembler.reset()
    assert assembler.feed(b"34*00\r\n" + SENTENCE + b"\r\n") == [SENTENCE]


@given(st.lists(st.binary(max_size=300) | st.just(SENTENCE + b"\r\n"), max_size=12), st.lists(st.integers(0, 4000), max_size=20))
def test_lines_do_not_depend_on_how_the_stream_was_cut(parts: list[bytes], cuts: list[int]) -> None:
    """Fed at once or in any pieces, lines are complete, start right, stay under the cap; whole sentences all come out."""
    stream = b"\n".join(parts) + b"\n"
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assembler = LineAssembler()
    lines = [line for a, b in itertools.pairwise(edges) for line in assembler.feed(stream[a:b])]
    assert lines.count(SENTENCE) >= parts.count(SENTENCE + b"\r\n")
    for line in lines:
        assert line[:1] in (b"$", b"!")
        assert len(line) <= LINE_BYTES_MAX
        assert not set(line) & set(b"\r\n")

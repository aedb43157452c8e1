"""agent.cli.bench.markup: a text stays a text."""

from __future__ import annotations

from agent.cli.bench.markup import Markup, element, percent


def test_an_attribute_cannot_be_left() -> None:
    """Quotes and angle brackets in it are escaped; what is Markup is not escaped twice."""
    assert element("p", Markup("<b>x</b>"), '<"', title='"><i>') == '<p title="&quot;&gt;&lt;i&gt;"><b>x</b>&lt;&quot;</p>'


def test_names_that_python_cannot_have_are_written_as_html_has_them() -> None:
    """`class` is a word of the language, and no name has a dash; what is None is left out."""
    assert element("line", class_="bar", text_anchor="end", width=None) == '<line class="bar" text-anchor="end"></line>'


def test_what_lies_outside_is_drawn_at_the_edge() -> None:
    """A message that left before the drive began has its mark too."""
    assert [percent(share) for share in (-0.2, 0.125, 1.5)] == ["0.00%", "12.50%", "100.00%"]

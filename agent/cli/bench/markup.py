"""HTML in small pieces. Promises that a text, whatever it says, stays a text."""

from __future__ import annotations

import html


class Markup(str):
    """HTML that is already safe. Every other text is escaped where it becomes part of one."""

    __slots__ = ()


def element(name: str, *content: str, **attributes: object) -> Markup:
    """An element of HTML or SVG; `class_` is class, `stroke_width` is stroke-width. All that is not Markup is escaped."""
    named = {key.rstrip("_").replace("_", "-"): html.escape(str(value)) for key, value in attributes.items() if value is not None}
    inside = "".join(part if isinstance(part, Markup) else html.escape(part) for part in content)
    head = " ".join([name, *(f'{key}="{value}"' for key, value in named.items())])
    return Markup(f"<{head}>{inside}</{name}>")


def percent(share: float) -> str:
    """For an attribute of SVG; what lies outside is drawn at the edge."""
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"

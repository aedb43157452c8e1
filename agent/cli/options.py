"""Options that several verbs have, each written once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A number in a range; "nan" is none, though it lies in every range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401  click's signature
        """Refuses what is no number with click's own error."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def decision_options(*, required: bool = False, package: str | None = None, consent: str | None = None) -> Callable[[F], F]:
    """`--package`, `--consent` and `--catalogue`: what a decision is made from besides the car. The texts are defaults."""

    def decorate(function: F) -> F:
        for option in (
            click.option(
                "--catalogue",
                type=click.Path(path_type=Path),
                help="another catalogue folder; it stands alone, with the policies inside it",
            ),
            click.option("--consent", help="all, none, unaccepted or a file with [grants]", **_or_default(consent, required)),
            click.option("--package", help="the owner's package, or none", **_or_default(package, required)),
        ):
            function = option(function)
        return function

    return decorate


def _or_default(default: str | None, required: bool) -> dict[str, Any]:
    return {"required": required} if default is None else {"default": default, "show_default": True}

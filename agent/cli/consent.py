"""`modicum consent`: what the driver allows. Withdrawing takes fewer words than granting, and no question is asked."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import click

from agent.cli.agent_side import asked, catalogue_of, config_option, json_option, printed
from agent.cli.words import moment
from agent.errors import UsageError

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
LAST_OF_DAY = time(23, 59, 59, 999_000)


@click.group(name="consent")
def consent_group() -> None:
    """See, grant and withdraw single items, for whoever drives this trip."""


@consent_group.command()
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="of the titles")
@config_option
@json_option
def show(language: str, config: Path, as_json: bool) -> None:
    """Every item and what you have said to it."""
    result = asked(config, "consent.show")
    if language == "zh":
        items = catalogue_of(config).items
        for row in result["items"]:
            declared = items.get(row["item"])
            row["title"] = (declared and declared.title_zh) or row["title"]
    rows = [f"driver: {result['profile']}"]
    for row in result["items"]:
        until = f" until {moment(row['until'])}" if row["until"] else " for this trip" if row["trip"] else ""
        rows.append(f"  {row['state']:<10} {row['item']:<24} {row['title']}{until if row['state'] == 'YES' else ''}")
    printed(result, as_json=as_json, text="\n".join(rows))


@consent_group.command()
@click.argument("item")
@click.option(
    "--until",
    metavar="DATE",
    help="the last moment (ISO 8601): a date, to the end of that day, or a date and time; UTC unless it says another zone",
)
@click.option("--trip", is_flag=True, help="for this trip only")
@config_option
@json_option
def grant(item: str, until: str | None, trip: bool, config: Path, as_json: bool) -> None:
    """Allow ITEM until a date (that day included), or for this trip. There is no "always"."""
    if (until is None) == (not trip):
        both = "one end is enough" if until else "a grant needs an end"
        raise UsageError(both, item, "say --until DATE or --trip, not both")
    result = asked(config, "consent.grant", item=item, until_ms=_ms(until) if until else None, trip=trip)
    end = "this trip" if trip else f"until {moment(result['until'])}{', the longest term' if result['cut'] else ''}"
    printed(result, as_json=as_json, text=f"granted: {item} by {result['profile']}, {end}")


@consent_group.command()
@click.argument("item")
@config_option
@json_option
def withdraw(item: str, config: Path, as_json: bool) -> None:
    """Take ITEM back: when this returns, nothing more of it leaves and what was waiting is unreadable."""
    result = asked(config, "consent.withdraw", item=item)
    said = "withdrawn" if result["ended"] else "nothing was granted"
    printed(result, as_json=as_json, text=f"{said}: {item} by {result['profile']}")


@consent_group.command()
@config_option
@json_option
def history(config: Path, as_json: bool) -> None:
    """Every entry of the ledger, oldest first."""
    result = asked(config, "consent.history")
    rows = [" ".join(f"{key}={value}" for key, value in entry.items() if value not in (None, "")) for entry in result]
    printed(result, as_json=as_json, text="\n".join(rows))


def _ms(text: str) -> int:
    """The last moment that is meant, in ms since 1970: of a bare date the last one of that day, UTC."""
    try:
        given = datetime.combine(date.fromisoformat(text), LAST_OF_DAY, UTC) if _is_date(text) else datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"not a date: {text}", "--until", "write 2027-06-01 or 2027-06-01T12:00:00Z") from error
    since_1970 = (given if given.tzinfo else given.replace(tzinfo=UTC)) - _1970
    return since_1970 // timedelta(milliseconds=1)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True

"""agent.cli.bench.style: how the page of a run looks."""

from __future__ import annotations

import re
from pathlib import Path

from agent.cli.bench.style import STYLE
from agent.vss import LOCATION, SPEED
from hw.bench.truth import Drive
from tests.support.told import PLACE, parsed, place, plan, refusal, rule, told

FIND, VOLTAGE = "remote_assistance.find_vehicle", "Vehicle.LowVoltageBattery.CurrentVoltage"


def test_every_colour_is_named_once_for_day_and_once_for_night() -> None:
    """One that was missing at night would be that of the day, dark on dark."""
    day, night = (dict(re.findall(r"(--[a-z]+):([^;}]+)", part)) for part in re.split(r"@media screen", STYLE)[:2])
    assert set(day) == set(re.findall(r"var\((--[a-z]+)\)", STYLE)) == set(night)
    assert [name for name in day if day[name] == night[name]] == []


def test_what_the_page_names_is_styled_and_nothing_else_is(tmp_path: Path) -> None:
    """By a run in which there is something of everything."""
    drive = Drive.load("parking")
    lines = [line for n, t_s in enumerate((60, 120, 450), 1) for line in place(t_s, drive, n)]
    lines += [*place(130, drive, 1, FIND), {**lines[0], "signal": SPEED, "value": 50.0, "unit": "km/h"}]
    lines += [{**lines[0], "service": "teleservices", "stream": "battery_guard", "signal": VOLTAGE, "value": 12.1, "unit": "V"}]
    guard = rule(VOLTAGE, "teleservices.battery_guard") | {"while": "parked"}
    rules = [PLACE, rule(SPEED), rule(LOCATION, FIND, triggers=["request"]), guard]
    gone = plan("2", guard, refused=[refusal(LOCATION)])
    page = parsed(told(lines, drive.seconds, (0, plan("1", *rules)), (500, gone)), drive, tmp_path)
    named = {name for _, attributes in page.elements for name in (attributes.get("class") or "").split()}
    assert named == set(re.findall(r"\.([a-z]+)", STYLE))

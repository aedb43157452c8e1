"""agent.cli.bench.report: what a person reads at the end of a run who has never seen the project."""

from __future__ import annotations

from typing import Any

import pytest

from agent.cli.bench.chronicle import Chronicle
from agent.cli.bench.report import closing, opening, pulse_line
from agent.cli.bench.telling import Run
from agent.cli.main import main
from tests.support.told import catalogue, plan, rule

START_S = 1_800_000_000
PROBE = "How traffic flows around you, every half minute while you drive (real_time_traffic.probe)"
NUMBERS = {"frames_read": 50_040, "frames_delivered": 771, "bytes_wire": 2475}


def line(signal: str, value: Any, unit: str = "", t: float = START_S + 60, **changed: Any) -> dict[str, Any]:
    made = {"service": "real_time_traffic", "stream": "probe", "identity": "none", "seq": 1}
    return {**made, "signal": signal, "value": value, "unit": unit, "t": t, **changed}


def no(signal: str, reason: str, name: str = "real_time_traffic.probe") -> dict[str, str]:
    service, _, stream = name.partition(".")
    return {"service": service, "stream": stream, "signal": signal, "reason": reason}


def report(lines: list[dict[str, Any]], *plans: dict[str, Any], **numbers: int) -> str:
    """The end of a run in which everything left under the first plan."""
    chronicle = Chronicle()
    chronicle.note(lines, plans[0])
    for later in plans[1:]:
        chronicle.note(lines, later)
    streams = {f"{one['service']}.{one['stream']}": {"messages": 1} for one in lines}
    summary = NUMBERS | {"samples": len(lines), "messages": len(streams), "streams": streams} | numbers
    return closing(Run(lines=lines, summary=summary, chronicle=chronicle, catalogue=catalogue(), start_ns=START_S * 10**9))


def flat(text: str) -> str:
    """Without the line breaks."""
    return " ".join(text.split())


SPEED = rule("Vehicle.Speed", transforms=[{"round_to": 10}])
SPEEDS = [line("Vehicle.Speed", 50, "km/h", START_S + 30), line("Vehicle.Speed", 60, "km/h")]


def test_a_stream_is_a_sentence_with_recipient_and_identity() -> None:
    """Its title, who got it, under which name, how much, how coarse its times are and because of what."""
    text = report(SPEEDS, plan("1", SPEED))
    assert PROBE in text
    assert "to traffic, without any identity: 2 values in 1 message, times cut to 10 s" in text
    assert "because entry 1\n" in text


def test_a_signal_is_told_before_and_after() -> None:
    """What there was, what is left of it, how often, and the last value."""
    assert "speed: exact on the bus -> to the nearest 10 km/h, 2 times; last 60 km/h" in report(SPEEDS, plan("1", SPEED))


def test_a_position_is_one_signal_and_two_values() -> None:
    """Where it was cut off is said after how coarse it is."""
    place = rule("Vehicle.CurrentLocation", transforms=[{"trim_trip_m": 500}, {"grid_m": 200}])
    halves = [line(f"Vehicle.CurrentLocation.{half}", value, "degrees") for half, value in (("Latitude", 39.5), ("Longitude", 116.25))]
    text = flat(report(halves, plan("1", place)))
    assert "2 values in 1 message" in text
    assert (
        "position: exact from the receiver -> centre of a 200 m square, none in the first 500 m nor where earlier trips ended, once" in text
    )
    assert "last 39.5 116.25 degrees" in text


def test_the_vin_has_a_line_of_its_own_where_it_left() -> None:
    """And nowhere else."""
    name: dict[str, Any] = {"service": "teleservices", "stream": "service_report", "identity": "vin", "vin": "WMWTESTCAR0000001"}
    rules = rule("Vehicle.TraveledDistance", "teleservices.service_report", recipient="teleservices")
    text = report([*SPEEDS, line("Vehicle.TraveledDistance", 42_000, "km", **name)], plan("1", SPEED, rules))
    assert text.count("the VIN: WMWTESTCAR0000001, in each message") == text.count("WMWTESTCAR") == 1


def test_signals_that_were_reduced_alike_share_a_row() -> None:
    """Four wheels are four places of one thing."""
    wheels = [f"Vehicle.Chassis.Axle.Row{row}.Wheel.{side}.Brake.PadWear" for row in (1, 2) for side in ("Left", "Right")]
    rules = [rule(wheel, transforms=[{"round_to": 1}]) for wheel in wheels]
    text = flat(report([line(wheel, 38, "percent") for wheel in wheels], plan("1", *rules)))
    assert "brake pad wear (4 places): exact on the bus -> to the nearest 1 percent, once each; last 38, 38, 38, 38 percent" in text


@pytest.mark.parametrize(("t", "said"), [(START_S - 1, True), (START_S + 60, False)])
def test_a_message_of_the_start_is_told_as_one(t: float, said: bool) -> None:
    """The counters that the unit sends when it starts; one that came later is none."""
    health: dict[str, Any] = {"service": "operations", "stream": "health", "identity": "pairwise"}
    rules = rule("Modicum.Health.Starts", "operations.health", triggers=["periodic", "start"], time_floor_s=0)
    text = flat(report([line("Modicum.Health.Starts", 1, "count", t, **health)], plan("1", rules)))
    assert ("sent when the unit started" in text) == said
    assert "starts: counted by the unit -> unchanged, once" in text


def test_a_withdrawn_stream_stands_in_both_parts() -> None:
    """With the rule under which it left, and as withdrawn."""
    left, _, withheld = report(SPEEDS, plan("1", SPEED), plan("2", refused=(no("Vehicle.Speed", "no_consent"),))).partition(
        "WHAT WAS ALLOWED"
    )
    assert "to traffic, without any identity" in left
    assert "because entry 1; withdrawn during the run" in left
    assert "speed: withdrawn during the run" in withheld
    assert "nobody has granted it" not in withheld


def test_a_stream_that_ended_otherwise_is_told_so() -> None:
    """With the reason in words."""
    text = flat(report(SPEEDS, plan("1", SPEED), plan("2", refused=(no("Vehicle.Speed", "profile"),))))
    assert text.count("ended during the run: it was granted, but not by whoever drives this trip") == 2


def test_another_grant_after_it_changes_nothing_of_what_left() -> None:
    """A ledger entry that did not exist then is not named."""
    text = report(
        SPEEDS, plan("1", SPEED), plan("2", refused=(no("Vehicle.Speed", "no_consent"),)), plan("3", SPEED | {"because": "entry 2"})
    )
    assert "because entry 1\n" in text
    assert "entry 2" not in text


def test_a_notice_that_a_grant_has_ended_is_told_as_one() -> None:
    """No catalogue and no plan has its stream."""
    notice: dict[str, Any] = {"service": "real_time_traffic", "stream": "basis_ended", "identity": "pairwise"}
    text = flat(report([line("Modicum.Basis.Ended", ["probe"], **notice)], plan("1", SPEED)))
    assert "A notice that a grant has ended, and with it the basis of what was sent under it" in text
    assert "because whoever got data under a grant is told that it has ended" in text
    assert "basis ended: said by the unit, once; last probe" in text


def test_what_was_withheld_has_names_and_a_reason_in_words() -> None:
    """A reason code or a number of signals alone helps nobody."""
    refused = (
        no("Vehicle.Private.SoftwareLevels", "no_package", "legal.recall"),
        no("Vehicle.TraveledDistance", "no_package", "legal.recall"),
    )
    text = report([], plan("1", refused=refused))
    assert "Software levels and part numbers, when a recall orders it (legal.recall)" in text
    assert "software levels, odometer: the owner's package does not contain this service" in text
    assert "WHAT LEFT THE CAR\n  nothing" in text


def test_an_allowed_stream_that_did_not_speak_is_said() -> None:
    """Neither sent nor withheld would look like a gap; what it waits for is said, and where it is silent."""
    hazard = rule("Vehicle.CurrentLocation", "real_time_traffic.hazard", triggers=["event:fog_lamp"], transforms=[{"trim_trip_m": 500}])
    text = flat(report(SPEEDS, plan("1", SPEED, hazard)))
    assert '(real_time_traffic.hazard): at "Fog"; while driving; none in the first 500 m nor where earlier trips ended' in text


def test_the_last_line_is_the_run_in_a_sentence() -> None:
    """Frames that nobody read, and values that left."""
    said = "Of 50,040 frames on the car's bus the agent dropped 49,269 unread; 2 values left."
    assert report(SPEEDS, plan("1", SPEED)).splitlines()[-1] == said


def test_who_else_could_open_is_said_only_where_it_was_tried() -> None:
    """The virtual clock has no other recipient at hand."""
    assert "another recipient" not in report(SPEEDS, plan("1", SPEED))
    assert "another recipient could open: 0" in report(SPEEDS, plan("1", SPEED), opened_by_others=0, not_opened=0)


def test_the_default_drive_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """Within 100 columns and about 60 lines."""
    assert main(["bench", "--speed", "max"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 66


def test_a_running_line_fits_where_nothing_is_known_yet() -> None:
    """The first moment has no status."""
    assert "frames      0 -> 0" in pulse_line(0.2, 120, {}, [])


def test_a_running_line_says_why_recipients_have_more_than_the_car_made() -> None:
    """A position is one sample and two values."""
    halves = [line(f"Vehicle.CurrentLocation.{half}", 1.0) for half in ("Latitude", "Longitude")]
    said = pulse_line(100, 120, {"samples": 3}, [*SPEEDS, *halves])
    assert "samples 3 " in said
    assert said.endswith("opened 4 values = 3 samples")
    assert len(said) <= 100


def test_the_opening_says_what_becomes_of_the_folder_and_what_the_lines_mean() -> None:
    """It is removed; `waiting` leaves out what open windows collect."""
    text = opening("/tmp/x", ["agent: --config F"])
    assert "/tmp/x, removed at the end (--out DIR keeps the results)" in text
    assert "open windows" in text
    assert all(len(row) <= 100 for row in text.splitlines())


def test_what_was_collected_and_reached_nobody_is_counted() -> None:
    """Where a live agent counted it; nothing is said where everything left."""
    said = "Collected and not sent: 3 samples;"
    assert said in report(SPEEDS, plan("1", SPEED), samples_made=5, samples_left=2)
    assert "Collected and not sent" not in report(SPEEDS, plan("1", SPEED), samples_made=2, samples_left=2)
    assert "Collected and not sent" not in report(SPEEDS, plan("1", SPEED))


def test_what_the_kernel_kept_back_is_not_called_the_whole_bus() -> None:
    """Nobody counted it."""
    assert "frames that the kernel let through the agent dropped" in report(SPEEDS, plan("1", SPEED), kernel_filters=1)

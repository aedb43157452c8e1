"""`modicum explain`: why a signal is or is not sent, read from the plan and decided nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.cli.words import REASONS
from agent.plan.compile import REASONS as DECIDED
from tests.agent.cli.conftest import Agent, Cli

ALL = ("--package", "navigation_plus", "--consent", "all")
NONE = ("--package", "navigation_plus", "--consent", "none")


def told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sabotage: the rules and refusals say nothing about themselves."""
    monkeypatch.setattr("agent.cli.explain.told", lambda result: "because")


@pytest.mark.req("R54", control=told_nothing)
def test_what_is_sent_is_explained_by_rule_basis_policy_entry_and_transform(cli: Cli) -> None:
    """Everything that led to it stands in the answer."""
    said = cli("explain", "Vehicle.Speed", *ALL)
    assert (said.status, said.err) == (0, "")
    for word in (
        "is sent in real_time_traffic.probe to traffic (identity none)",
        "round_to 10",
        "while driving",
        "triggers periodic",
        "basis consent",
        "driver granted traffic.position (ledger entry ",
        "policy 2026-11",
        "kept at most 300 s",
        "rule real_time_traffic.probe/Vehicle.Speed#",
    ):
        assert word in said.out, word


@pytest.mark.req("R54", control=told_nothing)
def test_what_is_withheld_is_explained_by_its_reason(cli: Cli) -> None:
    """The reason and what it means; for a signal of several streams, each of them."""
    said = cli("explain", "Vehicle.CurrentLocation", *NONE)
    assert said.status == 0
    assert said.out.count(f"no_consent: {REASONS['no_consent']}") == len(said.out.splitlines()) == 6
    assert "withheld from teleservices.breakdown_position" in said.out


def test_every_reason_has_its_words() -> None:
    """The nine, no more and no fewer."""
    assert tuple(sorted(REASONS)) == tuple(sorted(DECIDED))
    assert all(len(text) > 20 for text in REASONS.values())


def test_a_stream_is_explained_as_a_whole(cli: Cli) -> None:
    """service.stream: all its signals, sent or not."""
    said = cli("explain", "product_improvement.vehicle", *ALL, "--json")
    document = said.document
    assert document.keys() == {"subject", "sent", "withheld"}
    assert (len(document["sent"]), len(document["withheld"])) == (5, 2)
    assert {no["reason"] for no in document["withheld"]} == {"not_on_vehicle"}


@pytest.mark.parametrize("half", ["Latitude", "Longitude"])
def test_a_position_is_found_under_the_names_that_a_recipient_reads(cli: Cli, half: str) -> None:
    """received.jsonl has two signals for it; the plan has one."""
    whole = cli("explain", "Vehicle.CurrentLocation", *ALL, "--json").document
    found = cli("explain", f"Vehicle.CurrentLocation.{half}", *ALL, "--json").document
    assert (found["sent"], found["withheld"]) == (whole["sent"], whole["withheld"])


@pytest.mark.parametrize("subject", ["Vehicle.Chassis.SteeringWheel.Angle", "Vehicle.LowVoltageSystemState", "teleservices", "x.y/1 2"])
def test_what_no_stream_carries_is_a_no(cli: Cli, subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 in one line: it is not collected, and no message of that name has left."""
    monkeypatch.setattr("agent.cli.explain.asked", lambda *_, **__: [])
    said = cli("explain", subject, *ALL)
    assert (said.status, said.out, len(said.err.splitlines())) == (1, "", 1)
    assert said.err.startswith("modicum: no s")


@pytest.mark.parametrize(
    ("subject", "meant"),
    [
        ("vehicle.currentlocation", "Vehicle.CurrentLocation"),
        ("Vehicle.CurentLocation", "Vehicle.CurrentLocation"),
        ("Vehicle.CurrentLocation.latitude", "Vehicle.CurrentLocation.Latitude"),
        ("Teleservices.Breakdown", "teleservices.breakdown"),
        ("real_time_trafic", "real_time_traffic"),
        ("vin", "VIN"),
    ],
)
def test_a_misspelt_name_is_not_said_to_be_uncollected(cli: Cli, subject: str, meant: str) -> None:
    """Exit 2, and the name that there is: what is carried under another spelling must not look safe."""
    assert cli("explain", subject, *ALL).refused(2) == f"modicum: no such name ({subject}): did you mean {meant}?\n"


def test_a_stream_that_is_only_described_says_so(cli: Cli) -> None:
    """It is no stream that nobody carries: `explain VIN` names it."""
    said = cli("explain", "ecall.msd", *ALL).refused(1)
    assert "described only" in said
    assert "it is sent by the emergency call's own program, whatever package and grants there are" in said


def test_a_service_is_told_its_streams(cli: Cli) -> None:
    """One of them can be explained; the service has no rule of its own."""
    said = cli("explain", "remote_assistance", *ALL).refused(1)
    assert said.endswith("explain one of remote_assistance.vehicle_status, remote_assistance.find_vehicle\n")


def test_wrong_arguments_are_one_line_and_exit_2(cli: Cli) -> None:
    """Half of what a plan from files needs, no subject, an unknown option."""
    for arguments in (("Vehicle.Speed", "--package", "basic"), (), ("Vehicle.Speed", "--sideways")):
        said = cli("explain", *arguments)
        assert (said.status, said.out, len(said.err.splitlines())) == (2, "", 1)


@pytest.mark.parametrize("subject", ["VIN", "Vehicle.VehicleIdentification.VIN"])
def test_the_vin_is_explained_as_identity(cli: Cli, subject: str) -> None:
    """Streams that carry it, those that would when asked, those that are withheld and why, the emergency call's."""
    said = cli("explain", subject, "--package", "basic", "--consent", "none")
    assert (said.status, said.err) == (0, "")
    assert "VIN is sent in teleservices.service_report to teleservices" in said.out
    assert "VIN would be sent when breakdown is asked in teleservices.breakdown" in said.out
    assert "VIN would be sent in service_process.case, which is withheld: no_consent: nobody has granted it" in said.out
    assert "VIN would be sent in ecall.msd by the emergency call's own program" in said.out
    assert "real_time_traffic" not in said.out


def test_the_vin_as_json_has_the_rules_and_refusals_of_its_streams(cli: Cli) -> None:
    """The same form as of any signal."""
    document = cli("explain", "VIN", *ALL, "--json").document
    assert document.keys() == {"subject", "sent", "withheld"}
    assert {rule["identity"] for rule in document["sent"]} == {"vin"}
    assert {no["service"] for no in document["withheld"]} == {"legal"}


def test_the_running_agent_says_who_gets_the_vin(agent: Agent, cli: Cli) -> None:
    """With the catalogue that it works with."""
    assert "teleservices.service_report" in cli("explain", "VIN", "--config", agent.config).out


def test_what_waits_for_somebodys_asking_is_not_said_to_be_sent(cli: Cli) -> None:
    """It would be, when it is asked; a stream with another trigger is sent."""
    said = cli("explain", "information_online.place", *ALL).out
    assert said.startswith("Vehicle.CurrentLocation would be sent when place is asked in information_online.place to information")
    assert " is sent " not in said


# -- it reads the plan ------------------------------------------------------------------------------------------------


def made_up(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A plan that no compiler would make, as the agent's answer."""
    rule = {
        "id": "made/up#1",
        "service": "made",
        "stream": "up",
        "signal": "Made.Up",
        "recipient": "nobody",
        "identity": "none",
        "basis": "contract",
        "because": "somebody said so",
        "policy": "0000",
        "triggers": ["periodic"],
        "while": "any",
        "transforms": [{"round_to": 7}],
        "keep_s": 42,
    }
    document = {"id": "0", "rules": [rule], "refused": [], "subscriptions": [], "valid_until": None}
    monkeypatch.setattr("agent.cli.plan.asked", lambda config, route: document)
    monkeypatch.setattr("agent.cli.explain.catalogue_of", lambda config: load_catalogue(shipped_catalogue()))
    return document


def never(*_: object, **__: object) -> None:
    raise AssertionError("explain decided something")


def test_explain_reads_the_agents_plan_and_recomputes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the agent's plan says is what is explained; the compiler is not called."""
    document = made_up(monkeypatch)
    monkeypatch.setattr("agent.plan.compile.compile_plan", never)
    monkeypatch.setattr("agent.core.core.compile_plan", never)
    said = cli("explain", "Made.Up")
    assert (said.status, said.err) == (0, "")
    assert all(word in said.out for word in ("nobody", "somebody said so", "round_to 7", "0000", "42 s", "made/up#1"))
    assert cli("explain", "made.up", "--json").document["sent"] == document["rules"]
    assert cli("explain", "Vehicle.Speed").status == 1


def test_the_running_agent_explains_what_it_does_now(agent: Agent, cli: Cli) -> None:
    """A grant turns the answer round, and its withdrawal turns it back."""
    agent.ask("profile.use", name="anna")

    def answer() -> str:
        said = cli("explain", "remote_assistance.find_vehicle", "--config", agent.config)
        assert said.status == 0
        return said.out

    assert "no_consent" in answer()
    agent.ask("consent.grant", item="assistance.position", trip=True)
    assert "anna granted assistance.position" in answer()
    agent.ask("consent.withdraw", item="assistance.position")
    assert "no_consent" in answer()


# -- messages ---------------------------------------------------------------------------------------------------------

ENTRY = {
    "entry": 9,
    "kind": "disclosure",
    "stream": "a.b",
    "seq": 3,
    "recipient": "r",
    "policy": "2026-11",
    "basis_ref": "ledger:7",
    "profile": "",
    "identity": "vin",
    "samples": 14,
    "bytes": 1203,
    "t": "2026-12-01T12:00:00.250Z",
    "trusted": True,
    "rules": ["a.b/X#1", "a.b/Y#2"],
}
DAY = {"kind": "disclosure_day", "stream": "a.b", "recipient": "r", "identity": "none", "messages": 3, "day": "2026-12-01"}


def log_of(*entries: dict[str, object]) -> Callable[..., list[dict[str, object]]]:
    return lambda config, route, **_: list(entries) if route == "audit.show" else never()  # type: ignore[return-value]  # never returns


@pytest.mark.req("R54", control=lambda monkeypatch: monkeypatch.setattr("agent.cli.explain._disclosed", lambda entry: "sent"))
def test_a_message_is_explained_by_its_disclosure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """service.stream/SEQ: to whom it went, under which policy and which ledger entry, from the audit log."""
    monkeypatch.setattr("agent.cli.explain.asked", log_of(ENTRY, ENTRY | {"seq": 4, "recipient": "other"}))
    said = cli("explain", "a.b/3")
    assert (said.status, said.err) == (0, "")
    assert said.out == (
        "message 3 of a.b went to r at 2026-12-01 12:00:00 UTC, with the VIN: 14 values, 1,203 bytes sealed; "
        "basis: ledger entry 7; policy 2026-11; rules: a.b/X#1, a.b/Y#2\n"
    )
    assert cli("explain", "a.b/3", "--json").document == {"message": "a.b/3", "disclosures": [ENTRY]}


def test_a_clock_that_was_not_sure_is_said(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment that nobody vouched for is no evidence; a position is said to count as one."""
    entry = ENTRY | {"trusted": False, "rules": ["a.b/Vehicle.CurrentLocation#1"]}
    monkeypatch.setattr("agent.cli.explain.asked", log_of(entry))
    said = cli("explain", "a.b/3").out
    assert "UTC (not believed)" in said
    assert "14 values (a position counts as one)" in said


@pytest.mark.parametrize(
    ("identity", "why"), [("none", "messages without identity are kept as counts of a day"), ("vin", "older than 30 days")]
)
def test_a_message_that_only_a_count_is_left_of_is_a_no(cli: Cli, monkeypatch: pytest.MonkeyPatch, identity: str, why: str) -> None:
    """Exit 1, and why nobody can tell more."""
    monkeypatch.setattr("agent.cli.explain.asked", log_of(DAY | {"identity": identity}))
    assert why in cli("explain", "a.b/3").refused(1)


def test_a_message_that_never_left_is_a_no(agent: Agent, cli: Cli) -> None:
    """Exit 1, one line; an agent that is not there is exit 3, not a no."""
    said = cli("explain", "teleservices.breakdown/1", "--config", agent.config)
    assert (said.status, said.out) == (1, "")
    assert "no such message" in said.err

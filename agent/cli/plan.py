"""`modicum plan`: the decision, from files or from the running agent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from agent.cli.agent_side import asked, config_option, json_option, printed
from agent.cli.loading import load_checked_catalogue, load_choice, load_named_vehicle, package_of, warn
from agent.cli.options import F, decision_options
from agent.cli.streams import withheld
from agent.cli.words import REASONS, wrapped
from agent.core.outcome import plan_document
from agent.core.virtual import Scene, VirtualRun
from agent.daemons.replay import REPLAY_VIN
from agent.errors import UsageError
from agent.folders import vehicle_folder


def source_options(function: F) -> F:
    """What a plan can be computed from instead of asking the agent."""
    vehicle = click.option("--vehicle", "vehicle_dir", type=click.Path(path_type=Path), help="folder of a vehicle; default: the bench car")
    return vehicle(decision_options()(function))


@click.command(name="plan")
@source_options
@config_option
@json_option
def plan_command(
    vehicle_dir: Path | None,
    catalogue: Path | None,
    package: str | None,
    consent: str | None,
    config: Path,
    as_json: bool,
) -> None:
    """The live rules, the refused candidates with their reasons, and the subscriptions.

    With --package and --consent it is computed from files; with neither, the running agent is asked for its plan.
    """
    document = planned(vehicle_dir, catalogue, package, consent, config)
    printed(document, as_json=as_json, text=told(document))


def planned(vehicle_dir: Path | None, catalogue: Path | None, package: str | None, consent: str | None, config: Path) -> dict[str, Any]:
    """The plan's document, from files or from the agent."""
    if package is None and consent is None:
        if vehicle_dir is not None or catalogue is not None:
            raise UsageError(
                "a plan from files needs both", "--package, --consent", "say for example --package navigation_plus --consent all"
            )
        document: dict[str, Any] = asked(config, "plan")
        return document
    if package is None or consent is None:
        raise UsageError("a plan from files needs both", "--package, --consent", "say for example --package navigation_plus --consent all")
    scene = Scene(
        catalogue=load_checked_catalogue(catalogue),
        vehicle=load_named_vehicle(vehicle_dir or vehicle_folder("bench")),
        package=package_of(package),
        choice=load_choice(consent),
        vin=REPLAY_VIN,
        compare_vin=False,
        seed=b"plan",
        start_ns=time.time_ns(),
    )
    run = VirtualRun(scene)
    for note in run.notes:
        warn(note)
    return plan_document(run.core.plan, run.core.wanted())


def told(document: Any) -> str:  # noqa: ANN401  JSON
    """The plan in words."""
    rows = [f"plan {document['id']}: {len(document['rules'])} rules, {len(document['refused'])} withheld"]
    stream = None
    for rule in document["rules"]:
        name = f"{rule['service']}.{rule['stream']}"
        if name != stream:
            stream = name
            rows.append(f"  {name} to {rule['recipient']} ({rule['identity']}), {', '.join(rule['triggers'])}: {rule['because']}")
        steps = ", ".join(f"{key} {value}" for step in rule["transforms"] for key, value in step.items())
        rows.append(f"    sent      {rule['signal']}{' as ' + steps if steps else ''}")
    for stream, reason, signals in withheld(document):
        rows += wrapped(f"withheld  {stream}: {', '.join(signals)} ({reason}: {REASONS[reason]})", 4, 14)
    rows += [f"  subscribed {one['bus']} {one['id']:X} mask {one['mask']}" for one in document["subscriptions"]]
    return "\n".join(rows)

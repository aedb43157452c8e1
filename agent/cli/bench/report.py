"""What the bench says: a line now and then while it runs, and at the end what left the car, what did not, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from agent.cli.explain import REASONS


def opening(folder: str, lines: Iterable[str]) -> str:
    """What was set up."""
    return "\n".join([f"bench in {folder}", *lines])


def pulse_line(elapsed_s: float, seconds: float, status: Mapping[str, Any], received: int) -> str:
    """One line of a run in progress."""
    bus = status["buses"][0] if status.get("buses") else {"read": 0, "delivered": 0}
    waiting = sum(row["rows"] for row in status.get("buffer", {}).values())
    bus_part = f"frames on the bus {bus['read']:>6}  delivered {bus['delivered']:>5}  samples {status.get('samples', 0):>4}"
    sent_part = f"waiting {waiting:>3}  acknowledged {status.get('acknowledged', 0):>4}  opened by recipients {received:>4}"
    return f"{elapsed_s:5.0f}/{seconds:.0f} s  {bus_part}  {sent_part}"


def closing(lines: list[dict[str, Any]], plan: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """The end report."""
    return "\n".join([*_left(lines, plan), "", *_unasked(lines, plan), "", *_withheld(plan), "", *_numbers(summary)])


def _left(lines: list[dict[str, Any]], plan: Mapping[str, Any]) -> list[str]:
    """What each recipient opened, with the last value of each signal."""
    rules = {f"{rule['service']}.{rule['stream']}": rule for rule in plan["rules"]}
    forms = {(f"{rule['service']}.{rule['stream']}", rule["signal"]): _form(rule["transforms"]) for rule in plan["rules"]}
    streams: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        streams[f"{line['service']}.{line['stream']}"].append(line)
    rows = ["WHAT LEFT THE CAR"]
    for name, samples in streams.items():
        rule = rules.get(name, {})
        who = {"vin": "with the VIN", "pairwise": "under an id for this recipient only", "none": "without identity"}[samples[0]["identity"]]
        rows.append(f"  {name} -> {rule.get('recipient', '?')}, {who}: {len(samples)} samples")
        rows.append(f"    because {rule.get('because', 'the rule has ended since')}")
        last = {sample["signal"]: sample for sample in samples}
        for signal, sample in last.items():
            count = sum(sample["signal"] == signal for sample in samples)
            form = forms.get((name, signal.removesuffix(".Latitude").removesuffix(".Longitude")), "")
            rows.append(f"    {signal:<58} {count:>4} x   last {sample['value']} {sample['unit']}{form}")
    return rows if streams else [*rows, "  nothing"]


def _form(transforms: list[dict[str, Any]]) -> str:
    """How the value was reduced, behind the value: `(grid_m 200)`."""
    steps = ", ".join(f"{name} {argument}" for step in transforms for name, argument in step.items())
    return f" ({steps})" if steps else ""


def _when(rule: Mapping[str, Any]) -> str:
    """When the stream would speak."""
    every = (
        f" each {rule['every_s'] / 86_400:g} d" if rule["every_s"] >= 86_400 else f" each {rule['every_s']:g} s" if rule["every_s"] else ""
    )
    triggers = [f"periodic{every}" if trigger == "periodic" else trigger for trigger in rule["triggers"]]
    return f"{', '.join(triggers)}, while {rule['while']}"


def _unasked(lines: list[dict[str, Any]], plan: Mapping[str, Any]) -> list[str]:
    """Streams that are allowed and did not speak: nothing triggered them, or their position was too near to a start or an end."""
    spoke = {f"{line['service']}.{line['stream']}" for line in lines}
    silent = {f"{rule['service']}.{rule['stream']}": rule for rule in plan["rules"]}
    rows = [f"  {name}: {_when(rule)}" for name, rule in silent.items() if name not in spoke]
    return ["ALLOWED, AND NOTHING ASKED FOR IT", *(rows or ["  nothing"])]


def _withheld(plan: Mapping[str, Any]) -> list[str]:
    """Every stream that was refused, with the reason in words, and those that nothing asked for."""
    rows = ["WHAT WAS WITHHELD, AND WHY"]
    counts = Counter((f"{no['service']}.{no['stream']}", no["reason"]) for no in plan["refused"])
    rows += [f"  {name}: {count} signal{'s' if count > 1 else ''}: {REASONS[reason]}" for (name, reason), count in sorted(counts.items())]
    return rows if counts else [*rows, "  nothing: every candidate is allowed"]


def _numbers(summary: Mapping[str, Any]) -> list[str]:
    return [
        f"{summary['frames_read']} frames on the bus, {summary['frames_delivered']} reached the agent's pipeline",
        f"{summary['samples']} samples left in {summary['messages']} sealed messages, {summary['bytes_wire']} bytes on the wire",
        f"{summary.get('opened_by_others', 0)} envelopes could be opened by another recipient, {summary.get('not_opened', 0)} by nobody",
    ]

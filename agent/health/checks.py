"""The table of what `modicum doctor` looks at; modicum-core makes its own findings by the same functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.health.buses import bus, receiver
from agent.health.device import certificate, clock, disk, keys, swap
from agent.health.facts import Facts
from agent.health.reach import broker, buffer, ecall, ledger, plan, services
from agent.health.saying import Result
from agent.model import Finding

Check = Callable[[Facts], Iterable[Result]]
HOST: tuple[Check, ...] = (
    services,
    lambda facts: map(bus, facts.buses),
    lambda facts: [clock(facts.clock)],
    lambda facts: [disk(facts.disk)],
    lambda facts: [swap(facts.swap)],
)
"""What can be looked at without settings."""
CHECKS: tuple[Check, ...] = (
    *HOST,
    lambda facts: [receiver(facts.receiver)],
    lambda facts: [keys(facts.keys)],
    lambda facts: [certificate(one, facts.clock) for one in facts.certificates],
    lambda facts: map(broker, facts.brokers),
    lambda facts: [plan(facts)],
    lambda facts: [ledger(facts)],
    lambda facts: [buffer(facts)],
    ecall,
)
"""A new check is a function and a line."""
FOUND_HERE = frozenset(
    {
        *("bus-lost", "bus-quiet", "bus-frames-lost", "receiver-lost", "receiver-silent", "receiver-garbled", "receiver-no-fix"),
        *("clock-past", "clock-unsure", "buffer-filling", "buffer-old", "broker-credential", "broker-refused"),
    }
)
"""What core finds of the same facts, and the checks find again with more to go by: said once."""


def examined(facts: Facts, checks: tuple[Check, ...] = CHECKS) -> list[Result]:
    """Every check's results, and what core alone can find, or has where not everything is looked at."""
    results = [result for check in checks for result in check(facts)]
    if facts.core is not None:
        known = {finding.code for result in results for finding in result.findings} | (FOUND_HERE if checks is CHECKS else frozenset())
        own = tuple(Finding(**one) for one in facts.core["findings"] if one["code"] not in known)
        results.append(Result("what core has found", f"{len(own)} more" if own else "nothing more", own))
    return results

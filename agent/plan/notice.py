"""The rule by which a recipient is told that a grant has ended: decided here, like everything that leaves.

Nobody's consent is asked for it, for it takes nothing from the car: it says which streams must not be used any longer. It goes
only to who has a key and stands in a region that is allowed now, whatever was allowed when the data went there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from agent.model import Rule
from agent.plan.compile import reach
from agent.plan.inputs import PlanInputs
from agent.vss import BASIS_ENDED

STREAM = "basis_ended"
"""Of every service; no catalogue has it."""
BECAUSE = "whoever got data under a grant is told that it has ended"
KEEP_S = 30 * 86_400
"""A recipient that cannot be reached for so long is not told."""
FLOOR_S = 60
PRIORITY = 1


def notice_rules(recipient: str, streams: Collection[str], inputs: PlanInputs) -> Iterator[tuple[Rule, tuple[str, ...]]]:
    """For each service among the full names `streams` the rule of its notice, and its value: the streams' short names."""
    if reach(recipient, inputs) is not None:
        return
    for service in sorted({name.split(".")[0] for name in streams}):
        yield _rule(service, recipient, inputs), tuple(name.split(".")[1] for name in streams if name.startswith(f"{service}."))


def _rule(service: str, recipient: str, inputs: PlanInputs) -> Rule:
    return Rule(
        id=f"{service}.{STREAM}/{BASIS_ENDED}",
        service=service,
        stream=STREAM,
        purpose="legal",
        category="status",
        sensitive=False,
        basis="legal",
        basis_ref=f"notice:{service}",
        signal=BASIS_ENDED,
        every_s=0,
        window_s=0,
        before_s=0,
        after_s=0,
        time_floor_s=FLOOR_S,
        while_="any",
        triggers=(),
        transforms=(),
        trim_m=None,
        fresh_s=None,
        identity="pairwise",
        recipient=recipient,
        priority=PRIORITY,
        keep_s=KEEP_S,
        policy=inputs.acknowledged or "",
        profile="",
        because=BECAUSE,
    )

"""What the command line can ask the emergency call, and who may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from agent.clock import boot_ns
from agent.ecall import happenings as world
from agent.ecall.loop import Ask, Loop
from agent.errors import FindingsError

Permission = Literal["read", "drive", "own"]


class Route(NamedTuple):
    """`permission` as `agent.control.server` knows them. `before`: what may take long, in the peer's own thread; raises ModicumError."""

    permission: Permission
    run: Callable[[Loop], object]
    before: Callable[[Loop], object] = lambda _: None


def _status(loop: Loop) -> dict[str, object]:
    """No place, no number of the vehicle, no telephone number."""
    session = loop.machine.standing.session
    known = None
    if session is not None:
        known = {
            "kind": session.kind,
            "messages": session.identifier,
            "acknowledged": session.acked,
            "voice": session.voice,
            "dials": session.dials,
        }
    return {
        "state": loop.machine.state,
        "enabled": loop.machine.enabled,
        "mode": loop.switch.mode,
        "session": known,
        "centre": {"online": loop.centre.online, "why": loop.centre.why},
        "modem": _modem(loop),
        "voice": {"there": loop.voice is not None, "why": loop.voice.problem if loop.voice else "no modem is configured"},
        "places": len(list(loop.machine.ring)),
        "places_from": sorted(loop.sources.heard_ns),
        "checks": {name: finding and asdict(finding) for name, finding in loop.selftest.run(boot_ns()).items()},
        "problems": dict(loop.problems),
        "latency_ms": dict(loop.latency.steps),
        **loop.counts,
    }


def _modem(loop: Loop) -> dict[str, object] | None:
    """As it says itself; its number is masked."""
    if loop.voice is None:
        return None
    health = loop.voice.health
    return {"sim": health.sim, "registered": health.registered, "signal_dbm": health.signal_dbm, "imei": health.imei_masked}


def _happens(happening: world.Happening) -> Callable[[Loop], object]:
    def run(loop: Loop) -> object:
        before = loop.machine.standing.session, loop.machine.state
        loop.step(happening)
        if (loop.machine.standing.session, loop.machine.state) == before:
            if not loop.machine.enabled:
                raise FindingsError("the emergency call is switched off", "nobody was called", "modicum ecall on")
            raise FindingsError("nothing changed", f"the emergency call is {loop.machine.state}", "see `modicum ecall status`")
        return {"state": loop.machine.state}

    return run


def _turned(loop: Loop) -> object:
    loop.turned()
    return {"enabled": loop.machine.enabled, "state": loop.machine.state}


ROUTES: Mapping[str, Route] = {
    "ecall.status": Route("read", _status),
    "ecall.sos": Route("drive", _happens(world.SosHeld())),
    "ecall.cancel": Route("drive", _happens(world.Cancelled())),
    "ecall.test": Route("drive", _happens(world.TestAsked())),
    # Whether `off` would be refused: known before a person is asked.
    "ecall.may_off": Route("own", lambda _: {}, lambda loop: loop.switch.require()),
    "ecall.on": Route("own", _turned, lambda loop: loop.switch.set(on=True)),
    "ecall.off": Route("own", _turned, lambda loop: loop.switch.set(on=False)),
}


def submit_to(loop: Loop) -> Callable[[str, dict[str, Any]], Future[object]]:
    """For the control server: runs a route in the loop's thread."""

    def submit(route: str, _: dict[str, Any]) -> Future[object]:
        ROUTES[route].before(loop)
        ask = Ask(ROUTES[route].run)
        loop.inbox.put(ask)
        return ask.future

    return submit

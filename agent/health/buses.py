"""The checks of what the agent listens to: buses and the satellite receiver. Pure: facts in, findings out.

Each says the nearest cause alone: a bus that is down is also silent and also lost, and the technician needs to read that once.
"""

from __future__ import annotations

from agent.health.facts import BusFacts, ReceiverFacts
from agent.health.saying import Result, age
from agent.model import Finding, error, info, warning

LOAD_MAX = 0.8
"""Above it the least urgent messages wait for long (usual planning limits lie between 0.4 and 0.8)."""
HEARD_S_MAX = 10.0
"""Receivers speak once a second, modems are asked as often."""
FIX_S_MAX = 60.0
"""A receiver that has seen the sky before has a fix within half a minute."""
BAD_SHARE_MAX = 0.5
GONE_S = 30.0
"""A receiver whose port is not there for less than this is plugged in late, or warms up."""


def bus(one: BusFacts) -> Result:
    """One bus."""
    cause = _of_interface(one) or _of_traffic(one)
    found = [cause] if cause else [*_while_it_runs(one)]
    if one.unseen and not found:
        return Result(f"bus {one.name}", f"{one.where}, not known: {one.unseen}", known=False)
    return Result(f"bus {one.name}", cause.text.removeprefix(f"bus {one.name}: ") if cause else _stands(one), tuple(found))


def _of_interface(one: BusFacts) -> Finding | None:
    """Why nothing can come."""
    name, interface = f"bus {one.name}", one.interface
    if interface is None:
        return None
    if not interface.there:
        hint = "plug the adapter in or load its driver (ip -br link shows what is there), or correct channel of [[bus]]"
        return error("bus-missing", f"{name}: there is no interface {one.where}", hint)
    if not interface.up:
        return error(
            "bus-down", f"{name}: the interface {one.where} is down", "bring it up with its bit rate: see the .network file for CAN"
        )
    if interface.state == "BUS-OFF":
        hint = "see the bit rate, then CAN-H and CAN-L and the terminator; it restarts by itself where restart-ms is set"
        return error("bus-off", f"{name}: the controller has switched itself off (bus off)", hint)
    return None


def _of_traffic(one: BusFacts) -> Finding | None:
    """Why nothing comes, if nothing does."""
    name, interface = f"bus {one.name}", one.interface
    if one.good == 0 and (one.errors or (interface is not None and interface.state == "ERROR-PASSIVE")):
        text = f"{name}: only errors and not one good frame, as with a wrong bit rate"
        return error("bus-bit-rate", text, "set the car's bit rate on the interface; then see CAN-H and CAN-L and the terminator")
    if one.problem:
        return error("bus-lost", f"{name}: {one.problem}", "check wiring and interface")
    if one.good == 0:
        return warning(
            "bus-silent", f"{name}: no frame comes", "usual while the car sleeps: switch the ignition on; else see bit rate and wiring"
        )
    return None


def _while_it_runs(one: BusFacts) -> list[Finding]:
    name, interface, found = f"bus {one.name}", one.interface, []
    if one.errors or (interface is not None and interface.state in ("ERROR-WARNING", "ERROR-PASSIVE")):
        counters = f" (receive {interface.errors_rx}, transmit {interface.errors_tx})" if interface is not None else ""
        hint = "see plugs, the terminator and the length of the stub"
        found.append(warning("bus-errors", f"{name}: frames come, and errors among them{counters}", hint))
    if one.load is not None and one.load > LOAD_MAX:
        text = f"{name}: loaded to about {one.load:.0%}"
        found.append(warning("bus-load", text, "see modicum can rates: who sends that much?"))
    if one.stranger:
        text = f"{name}: frames come, and not one that the vehicle's DBC files know"
        found.append(warning("bus-stranger", text, "correct platform of [vehicle], or which bus this interface is ([[bus]] name)"))
    if one.quiet:
        text = f"{name}: wanted, and not heard: {', '.join(one.quiet)}"
        hint = "usual for some while the car sleeps; else the platform of [vehicle] is another car's, or a control unit is off"
        found.append(warning("bus-quiet", text, hint))
    if one.lost:
        text = f"{name}: {one.lost} frames were lost for want of room since the start"
        found.append(warning("bus-frames-lost", text, "see the load of the processor; what is wanted is told again with its next frame"))
    if one.software_gate:
        text = f"{name}: each frame of a wanted identifier wakes the agent: its gate is not the kernel's"
        hint = "sudo modprobe can-bcm, then sudo systemctl restart modicum-core; a 32-bit Python on a 64-bit kernel has no other"
        found.append(info("bus-software-gate", text, hint))
    return found


def _stands(one: BusFacts) -> str:
    said = [one.where] if one.where else []
    if one.interface is not None:
        said += [one.interface.state.lower()] if one.interface.state else []
        said += [f"{one.interface.bit_rate / 1000:g} kbit/s"] if one.interface.bit_rate else []
    if one.good is not None:
        said.append(f"{one.good} frames heard")
    if one.load is not None:
        said.append(f"load about {one.load:.0%}")
    return ", ".join(said) or "read"


def receiver(one: ReceiverFacts | None) -> Result:
    """The satellite receiver, where one is configured."""
    if one is None:
        return Result("receiver", "none is configured")
    if one.unseen:
        return Result("receiver", f"not known: {one.unseen}", known=False)
    unheard_s = one.watched_s if one.heard_age_s is None else one.heard_age_s
    if one.problem:
        lost = error("receiver-lost", f"receiver: {one.problem}", "check its port and cable")
        return Result("receiver", f"{one.port}, no port", (lost,) if unheard_s >= GONE_S else (), known=unheard_s >= GONE_S)
    found = _deaf(one, unheard_s)
    if found is None and (one.watched_s if one.fix_age_s is None else one.fix_age_s) > FIX_S_MAX:
        text = "receiver: it speaks and has no position"
        found = warning("receiver-no-fix", text, "usual under a roof and in the first minute; else see the antenna and its plug")
    satellites = "" if one.satellites is None else f", {one.satellites} satellites"
    fix = "no position yet" if one.fix_age_s is None else f"position {age(one.fix_age_s)} old"
    return Result("receiver", f"{one.port}, {fix}{satellites}", (found,) if found else (), known=bool(found) or one.fix_age_s is not None)


def _deaf(one: ReceiverFacts, unheard_s: float) -> Finding | None:
    if one.bad > BAD_SHARE_MAX * (one.good + one.bad):
        return error("receiver-garbled", "receiver: most of what it says cannot be read", "correct baud of [gnss], or see the cable")
    if unheard_s > HEARD_S_MAX:
        text = "receiver: its port is open and not one sentence comes"
        return error("receiver-silent", text, "see its supply and the lines, and baud of [gnss]; a modem's receiver must be switched on")
    return None

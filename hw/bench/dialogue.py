"""What the simulated modem says: answers to AT commands, the progress of a call, lines of its own. No port and no clock.

Bytes and moments go in, bytes with moments come out; the same drive, manner, seed and input give the same output.
Answers like SIMCom's SIM7600 or Quectel's EC25 after a power-up: echo on, errors as that maker's default, receiver off.
Sources: 3GPP TS 27.007 and V.250; the makers' AT command manuals; their reports of a call as public drivers read them.
What no manual settles (delays, the order of a hang-up's lines) is ours, within what those drivers accept.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from hw.bench import whereabouts
from hw.bench.truth import CarState, Drive

NS = 1_000_000_000
Vendor = Literal["simcom", "quectel"]
Outcome = Literal["answered", "busy", "no-answer", "no-carrier"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)
IMEI = "001013000123457"
"""Begins with 00, which no approved device has; its last digit is the check digit of TS 23.003 annex B."""
MAKERS = {"simcom": ("SIMCOM INCORPORATED", "SIMCOM_SIM7600CE"), "quectel": ("Quectel", "EC25")}
CME_DEFAULT = {"simcom": 0, "quectel": 1}
CME_WORDS = {3: "operation not allowed", 10: "SIM not inserted", 504: "Session is ongoing", 505: "Session not active", 516: "Not fixed now"}
DSCI_STATS = {0: 3, 2: 2, 3: 7, 4: 4, 6: 6}
"""<stat> of +CLCC -> that of Quectel's ^DSCI."""
THINKS_NS = (2_000_000, 25_000_000)
"""From a command to its answer; one after the other."""
SLEEPS_NS = 30 * NS
RING_NS = 5 * NS
RINGS_MAX = 6
COMMAND_BYTES_MAX = 400
SIGNAL, SIGNAL_WEAK = 20, 4
CALLER = "+8610000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How this modem, its network and the other side of a call behave. Times in seconds; windows are (from, for) of the drive."""

    vendor: Vendor = "quectel"
    registration: int = 1
    """<stat> of 27.007 7.2: 1 home, 5 roaming, 2 searching, 3 denied."""
    sim: bool = True
    calls: tuple[Outcome, ...] = ("answered",)
    """What becomes of one dialled call after the other; the last holds for all that follow."""
    answer_s: float = 3.0
    talk_s: float | None = None
    """After which the other side hangs up; None: never."""
    back_s: float | None = None
    """After a dialled call is over, the other side calls back; None: never."""
    chatter_s: float | None = 20.0
    """About how often the modem says something unasked; None: never."""
    first_error: bool = False
    """The first command after power-up, and after a pause, is answered with ERROR."""
    silences: tuple[tuple[float, float], ...] = ()
    """While these last nothing is said; it all comes, too late, at the end."""
    garbage: float = 0.0
    """How likely each piece of what is said has bytes in it that do not belong there."""


@dataclass(slots=True, eq=False)
class Call:
    """The one call. `stat` is that of +CLCC, 6 once it is over."""

    number: str
    incoming: bool
    stat: int
    begun_ns: int = 0
    rings: int = 0


class Modem:
    """The modem of a drive whose moment zero is `start_ns`. `hear` what is written to it, `say` what is due, `restart` on power-up."""

    def __init__(self, drive: Drive, start_ns: int, manner: Manner, seed: int = 0) -> None:
        self.drive, self.start_ns, self.manner = drive, start_ns, manner
        self._rng = random.Random(f"modicum bench modem {seed}")  # noqa: S311  a reproducible simulation, no secret
        self._silences = [(start_ns + int(at_s * NS), start_ns + int((at_s + for_s) * NS)) for at_s, for_s in manner.silences]
        self._outcomes = itertools.chain(manner.calls, itertools.repeat(manner.calls[-1]))
        self._commands = {**_COMMON, **(_QUECTEL if manner.vendor == "quectel" else _SIMCOM)}
        self.restart(start_ns)

    def restart(self, t_ns: int) -> None:
        """Power-up at `t_ns`: settings are the maker's, no call, receiver off, nothing pending."""
        self._pending: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._out: list[bytes] = []
        self._heard, self._last_ns, self._busy_ns = b"", t_ns - SLEEPS_NS, t_ns
        self.t_ns = t_ns
        self.echo, self.gnss, self.reports = True, False, False
        self.cme = CME_DEFAULT[self.manner.vendor]
        self.call: Call | None = None
        if self.manner.chatter_s is not None:
            self._later(self._chatter_ns(), self._chatter)

    def hear(self, data: bytes, t_ns: int) -> None:
        """Takes what was written to it at `t_ns`: pieces of any size, commands that end with CR."""
        self._run(t_ns)
        if self.echo:
            self._out.append(data)
        *commands, rest = (self._heard + data.replace(b"\n", b"")).split(b"\r")
        self._heard = rest[-COMMAND_BYTES_MAX:]
        for command in commands:
            if command:
                self._busy_ns = max(t_ns, self._busy_ns) + self._rng.randrange(*THINKS_NS)
                self._later(self._busy_ns, functools.partial(self._answer, command))

    def say(self, t_ns: int) -> bytes:
        """All that is due by `t_ns`; nothing while it is silent."""
        self._run(t_ns)
        if self._silent_until(t_ns) is not None:
            return b""
        said, self._out = b"".join(map(self._spoilt, self._out)), []
        return said

    def next_ns(self) -> int | None:
        """When it will have something to say without being asked; None: never."""
        due_ns = self.t_ns if self._out else self._pending[0][0] if self._pending else None
        silent_ns = None if due_ns is None else self._silent_until(due_ns)
        return due_ns if silent_ns is None else silent_ns

    # -- time ---------------------------------------------------------------------------------------------------------

    def _run(self, t_ns: int) -> None:
        while self._pending and self._pending[0][0] <= t_ns:
            self.t_ns, _, act = heapq.heappop(self._pending)
            act()
        self.t_ns = t_ns

    def _later(self, t_ns: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._pending, (t_ns, next(self._order), act))

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._later(self.t_ns + int(seconds * NS), act)

    def _silent_until(self, t_ns: int) -> int | None:
        return next((end_ns for begin_ns, end_ns in self._silences if begin_ns <= t_ns < end_ns), None)

    # -- speech -------------------------------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        self._out.append(f"\r\n{text}\r\n".encode("ascii"))

    def _spoilt(self, piece: bytes) -> bytes:
        """The piece, or the piece with noise before, in or after it; noise never looks like an answer."""
        if self._rng.random() >= self.manner.garbage:
            return piece
        noise = bytes(self._rng.choice((0x00, 0xB5, 0xFF, *range(0x80, 0x90))) for _ in range(self._rng.randint(1, 40)))
        at = self._rng.choice((0, self._rng.randint(0, len(piece)), len(piece)))
        return piece[:at] + noise + piece[at:]

    def _chatter_ns(self) -> int:
        return self.t_ns + int((self.manner.chatter_s or 0) * (0.5 + self._rng.random()) * NS)

    def _chatter(self) -> None:
        lines = ["+CREG: 1", '+CREG: 1,"2A4F","0101B7C3",7', "+CTZV: 32"]
        lines += ['+QIND: "csq",19,99'] if self.manner.vendor == "quectel" else ["+CGEV: ME PDN ACT 1", "SMS DONE"]
        self._line(self._rng.choice(lines))
        self._later(self._chatter_ns(), self._chatter)

    def _answer(self, command: bytes) -> None:
        slept = self.t_ns - self._last_ns >= SLEEPS_NS
        self._last_ns = self.t_ns
        for line in ["ERROR"] if slept and self.manner.first_error else self._answers(command):
            self._line(line)

    def _answers(self, command: bytes) -> list[str]:
        text = command.decode("ascii", "replace").strip()
        for pattern, act in self._commands.items():
            found = re.fullmatch(pattern, text, re.IGNORECASE)
            if found is not None:
                return act(self, *found.groups())
        return ["ERROR"]

    def error(self, code: int) -> list[str]:
        """`+CME ERROR` as +CMEE wants it."""
        return [("ERROR", f"+CME ERROR: {code}", f"+CME ERROR: {CME_WORDS.get(code, 'unknown')}")[self.cme]]

    # -- state of the car ---------------------------------------------------------------------------------------------

    @property
    def epoch_ns(self) -> int:
        """The receiver's last epoch: a whole second of UTC."""
        return self.t_ns // NS * NS

    def state(self) -> CarState:
        return self.drive.state((self.epoch_ns - self.start_ns) / NS)

    def fixed(self) -> CarState | None:
        """The car, where the receiver is on and has a fix."""
        state = self.state()
        return state if self.gnss and state.gnss_mode else None

    def signal(self) -> str:
        """<rssi>: wanders a little, weak where the sky is not seen, unknown without a network."""
        if not self.registered:
            return "99"
        return str(SIGNAL + self._rng.randint(-3, 3) if self.state().gnss_mode else SIGNAL_WEAK)

    @property
    def registered(self) -> bool:
        return self.manner.sim and self.manner.registration in (1, 5)

    # -- the call -----------------------------------------------------------------------------------------------------

    def dial(self, number: str) -> list[str]:
        """ATD: OK at once; what becomes of the call is told as it happens."""
        if not self.registered:
            return ["NO CARRIER"]
        if self.call is not None:
            return self.error(3)
        call = self.call = Call(number, incoming=False, stat=2)
        outcome, answer_s = next(self._outcomes), self.manner.answer_s
        self._after(0, lambda: self._report(call))
        if outcome != "no-carrier":
            self._after(answer_s / 3, lambda: self._move(call, 3))
        ends = {"busy": "BUSY", "no-answer": "NO ANSWER", "no-carrier": "NO CARRIER"}
        self._after(answer_s, lambda: self._over(call, ends[outcome]) if outcome in ends else self._begin(call))
        return ["OK"]

    def pick_up(self) -> list[str]:
        """ATA."""
        call = self.call
        if call is None or call.stat != 4:
            return ["NO CARRIER"]
        self._begin(call)
        return ["OK"]

    def hang_up(self) -> list[str]:
        """ATH and AT+CHUP; OK without a call too."""
        if self.call is not None:
            self._over(self.call, "")
        return ["OK"]

    def _begin(self, call: Call) -> None:
        if self.call is not call:
            return
        call.begun_ns = self.t_ns
        if self.manner.vendor == "simcom":
            self._line("VOICE CALL: BEGIN")
        self._move(call, 0)
        if self.manner.talk_s is not None:
            self._after(self.manner.talk_s, lambda: self._over(call, "NO CARRIER"))

    def _move(self, call: Call, stat: int) -> None:
        if self.call is call:
            call.stat = stat
            self._report(call)

    def _report(self, call: Call) -> None:
        if self.reports and call.stat != 6 and self.call is call:
            self._line(self.described(call))

    def _over(self, call: Call, result: str) -> None:
        if self.call is not call:
            return
        call.stat = 6
        if self.reports:
            self._line(self.described(call))
        if self.manner.vendor == "simcom" and call.begun_ns:
            seconds = (self.t_ns - call.begun_ns) // NS
            self._line(f"VOICE CALL: END: {seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}")
        if result:
            self._line(result)
        self.call = None
        if self.manner.back_s is not None and not call.incoming:
            self._after(self.manner.back_s, self._rings)

    def _rings(self) -> None:
        if self.call is None:
            self.call = Call(CALLER, incoming=True, stat=4)
            self._ring(self.call)

    def _ring(self, call: Call) -> None:
        if self.call is not call or call.stat != 4:
            return
        if call.rings == RINGS_MAX:
            self._over(call, "NO CARRIER" if self.manner.vendor == "quectel" else f"MISSED_CALL: 12:00AM {call.number}")
            return
        call.rings += 1
        self._line("RING")
        self._report(call)
        self._later(self.t_ns + RING_NS, lambda: self._ring(call))

    def described(self, call: Call, *, unasked: bool = True) -> str:
        """A report of the call, or a line of the answer to AT+CLCC."""
        kind = 145 if call.number.startswith("+") else 129
        if unasked and self.manner.vendor == "quectel":
            return f"^DSCI: 1,{int(call.incoming)},{DSCI_STATS[call.stat]},0,{call.number},{kind}"
        return f'+CLCC: 1,{int(call.incoming)},{call.stat},0,0,"{call.number}",{kind}'

    # -- settings -----------------------------------------------------------------------------------------------------

    def put(self, name: str, value: str) -> list[str]:
        """Sets what a command sets."""
        kind = type(getattr(self, name))
        setattr(self, name, kind(int(value)))
        return ["OK"]

    def switch(self, value: str) -> list[str]:
        """The receiver on or off; on twice is an error, as the makers have it."""
        if self.gnss and value == "1":
            return self.error(504) if self.manner.vendor == "quectel" else ["ERROR"]
        self.gnss = value == "1"
        return ["OK"]

    def place(self, form: str) -> list[str]:
        """Quectel's position."""
        state = self.fixed()
        if state is None:
            return self.error(516 if self.gnss else 505)
        return [whereabouts.quectel_location(state, self.epoch_ns, int(form)), "OK"]

    def sentences(self, kind: str) -> list[str]:
        """Quectel's NMEA by AT."""
        if not self.gnss:
            return self.error(505)
        return [*whereabouts.quectel_sentences(self.state(), self.epoch_ns, kind.upper()), "OK"]

    def network(self, kind: str) -> list[str]:
        """<n>,<stat> of a registration."""
        stat = self.manner.registration if self.manner.sim else 0
        return [f"+{kind.upper()}: 0,{stat}", "OK"]


Act = Callable[..., list[str]]
_COMMON: dict[str, Act] = {
    r"AT": lambda _: ["OK"],
    r"ATE([01])?": lambda modem, value: modem.put("echo", value or "0"),
    r"AT\+CMEE=([012])": lambda modem, value: modem.put("cme", value),
    r"AT\+CMEE\?": lambda modem: [f"+CMEE: {modem.cme}", "OK"],
    r"ATI|AT\+CGMM": lambda modem: [MAKERS[modem.manner.vendor][1], "OK"],
    r"AT\+CGMI": lambda modem: [MAKERS[modem.manner.vendor][0], "OK"],
    r"AT\+CGSN": lambda _: [IMEI, "OK"],
    r"AT\+CSQ": lambda modem: [f"+CSQ: {modem.signal()},99", "OK"],
    r"AT\+(CREG|CGREG|CEREG)\?": lambda modem, kind: modem.network(kind),
    r"AT\+COPS\?": lambda modem: ['+COPS: 0,0,"MODICUM BENCH",7' if modem.registered else "+COPS: 0", "OK"],
    r"AT\+CPIN\?": lambda modem: ["+CPIN: READY", "OK"] if modem.manner.sim else modem.error(10),
    r"AT\+CLCC": lambda modem: [*([modem.described(modem.call, unasked=False)] if modem.call else []), "OK"],
    r"ATD(\+?[0-9*#]{1,32});": lambda modem, number: modem.dial(number),
    r"ATD\S*": lambda _: ["NO CARRIER"],
    r"ATA": lambda modem: modem.pick_up(),
    r"ATH0?|AT\+CHUP": lambda modem: modem.hang_up(),
}
"""A whole command -> what it does; the groups of the pattern are its arguments. ATD without ";" is a data call: none here."""
_QUECTEL: dict[str, Act] = {
    r"AT\+QGPS=(1)(?:,[\d,]*)?": lambda modem, value: modem.switch(value),
    r"AT\+QGPSEND": lambda modem: modem.switch("0") if modem.gnss else modem.error(505),
    r"AT\+QGPS\?": lambda modem: [f"+QGPS: {int(modem.gnss)}", "OK"],
    r"AT\+QGPSLOC=([012])": lambda modem, form: modem.place(form),
    r"AT\+QGPSLOC\?": lambda modem: modem.place("0"),
    r'AT\+QGPSGNMEA="(GGA|RMC|GSA|VTG)"': lambda modem, kind: modem.sentences(kind),
    r"AT\^DSCI=([01])": lambda modem, value: modem.put("reports", value),
}
_SIMCOM: dict[str, Act] = {
    r"AT\+CGPS=([01])(?:,[\d,]*)?": lambda modem, value: modem.switch(value),
    r"AT\+CGNSPWR=([01])": lambda modem, value: modem.put("gnss", value),
    r"AT\+CGNSSINFO": lambda modem: [whereabouts.simcom_info(modem.fixed(), modem.epoch_ns), "OK"],
    r"AT\+CGPSINFO": lambda modem: [whereabouts.simcom_gps(modem.fixed(), modem.epoch_ns), "OK"],
    r"AT\+CGNSINF": lambda modem: [whereabouts.simcom_inf(modem.fixed(), modem.epoch_ns, running=modem.gnss), "OK"],
    r"AT\+CLCC=([01])": lambda modem, value: modem.put("reports", value),
}

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

from hw.bench import texts, whereabouts
from hw.bench.commands import COMMON, QUECTEL, SIMCOM
from hw.bench.truth import CarState, Drive

NS = 1_000_000_000
Vendor = Literal["simcom", "quectel"]
Outcome = Literal["answered", "busy", "no-answer", "no-carrier"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)
CME_DEFAULT = {"simcom": 0, "quectel": 1}
CME_WORDS = {3: "operation not allowed", 10: "SIM not inserted", 504: "Session is ongoing", 505: "Session not active", 516: "Not fixed now"}
NO_NETWORK, NO_SIM, NOT_ALLOWED, NO_PDU, OUT_OF_ORDER = 331, 310, 302, 304, 38
"""Codes of +CMS ERROR (27.005 3.2.5, 24.011 annex E)."""
DSCI_STATS = {0: 3, 2: 2, 3: 7, 4: 4, 6: 6}
"""<stat> of +CLCC -> that of Quectel's ^DSCI."""
THINKS_NS = (2_000_000, 25_000_000)
"""From a command to its answer; one after the other."""
SLEEPS_NS = 30 * NS
RING_NS = 5 * NS
RINGS_MAX = 6
COMMAND_BYTES_MAX = 400
TEXT_NS = 300_000_000
"""The network takes a text within this."""
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
    texts: bool = True
    """False: the network refuses every text."""
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
        self.texts: list[tuple[str, bytes]] = []
        """Number and octets of what the network took."""
        self._rng = random.Random(f"modicum bench modem {seed}")  # noqa: S311  a reproducible simulation, no secret
        self._silences = [(start_ns + int(at_s * NS), start_ns + int((at_s + for_s) * NS)) for at_s, for_s in manner.silences]
        self._outcomes = itertools.chain(manner.calls, itertools.repeat(manner.calls[-1]))
        self._commands = {**COMMON, **(QUECTEL if manner.vendor == "quectel" else SIMCOM)}
        self.restart(start_ns)

    def restart(self, t_ns: int) -> None:
        """Power-up at `t_ns`: settings are the maker's, no call, receiver off, nothing pending."""
        self._pending: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._out: list[bytes] = []
        self._heard, self._last_ns, self._busy_ns = b"", t_ns - SLEEPS_NS, t_ns
        self.t_ns = t_ns
        self.echo, self.gnss, self.reports, self.by_pdu = True, False, False, False
        self._length: int | None = None
        """Of the text that is waited for after a prompt; all that comes is the text until it ends."""
        self.cme = CME_DEFAULT[self.manner.vendor]
        self.call: Call | None = None
        if self.manner.chatter_s is not None:
            self._later(self._chatter_ns(), self._chatter)

    def hear(self, data: bytes, t_ns: int) -> None:
        """Takes what was written to it at `t_ns`: pieces of any size, commands that end with CR."""
        self._run(t_ns)
        if self.echo:
            self._out.append(data)
        self._heard += data
        if self._length is None or self._hear_text(self._length):
            self._hear_commands()

    def _hear_commands(self) -> None:
        *commands, rest = self._heard.replace(b"\n", b"").replace(b"\x1b", b"").split(b"\r")
        self._heard = rest[-COMMAND_BYTES_MAX:]
        for command in commands:
            if command:
                self._in_turn(self._rng.randrange(*THINKS_NS), functools.partial(self._answer, command))

    def _hear_text(self, length: int) -> bool:
        """Whether a text has been sent or taken back; what was heard behind that is commands again."""
        found = re.search(rb"[\x1a\x1b]", self._heard)
        if found is None:
            return False
        text, self._heard, self._length = self._heard[: found.start()].decode("ascii", "replace").strip(), self._heard[found.end() :], None
        if found[0] == b"\x1a":
            self._in_turn(TEXT_NS, lambda: self._lines(self._send(text, length)))
        else:
            self._in_turn(0, lambda: self._lines(["OK"]))
        return True

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

    def _in_turn(self, takes_ns: int, act: Callable[[], None]) -> None:
        """Once all is done that was asked for before."""
        self._busy_ns = max(self.t_ns, self._busy_ns) + takes_ns
        self._later(self._busy_ns, act)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._later(self.t_ns + int(seconds * NS), act)

    def _silent_until(self, t_ns: int) -> int | None:
        return next((end_ns for begin_ns, end_ns in self._silences if begin_ns <= t_ns < end_ns), None)

    # -- speech -------------------------------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        self._out.append(f"\r\n{text}\r\n".encode("ascii"))

    def _lines(self, lines: list[str]) -> None:
        for line in lines:
            self._line(line)

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
        self._lines(["ERROR"] if slept and self.manner.first_error else self._answers(command))

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

    # -- texts --------------------------------------------------------------------------------------------------------

    def ask_text(self, length: str) -> list[str]:
        """+CMGS: the prompt, and no result yet; only as PDU."""
        if not self.by_pdu:
            return [f"+CMS ERROR: {NOT_ALLOWED}"]
        self._length = int(length)
        self._out.append(b"\r\n> ")
        return []

    def _send(self, pdu: str, length: int) -> list[str]:
        code = None if self.registered else NO_NETWORK if self.manner.sim else NO_SIM
        try:
            text = texts.read(pdu, length)
        except ValueError:
            code = NO_PDU
        if code is None and not self.manner.texts:
            code = OUT_OF_ORDER
        if code is not None:
            return [f"+CMS ERROR: {code}"]
        self.texts.append(text)
        return [f"+CMGS: {len(self.texts) % 256}", "OK"]

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

"""The bench's modem: answers as the makers' do, in the state of the drive; a call from dial to clear-down; faults by name."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.bench.commands import IMEI
from hw.bench.dialogue import NS, RINGS_MAX, Manner, Modem, Vendor
from hw.bench.modem import main, manner_of, parser
from hw.bench.sentences import HDOP, KNOT_MPS
from hw.bench.truth import Drive
from hw.gnss.at import read_answer
from hw.gnss.lines import LineAssembler
from hw.gnss.nmea import Epochs
from hw.modem.at import Port
from hw.modem.profiles import progress_in
from tests.hw.bench.desk import DRIVE, ON, PROFILE, Desk
from tests.hw.bench.scenes import START_NS, drives
from tests.support.wait import until

POSITIONS: dict[str, Vendor] = {
    "AT+QGPSLOC=0": "quectel",
    "AT+QGPSLOC=1": "quectel",
    "AT+QGPSLOC=2": "quectel",
    "AT+QGPSLOC?": "quectel",
    "AT+CGNSSINFO": "simcom",
    "AT+CGPSINFO": "simcom",
    "AT+CGNSINF": "simcom",
}
RESOLUTION_DEG = {"AT+QGPSLOC=0": 1e-4 / 60, "AT+QGPSLOC?": 1e-4 / 60, "AT+QGPSLOC=2": 1e-5}


# -- commands ---------------------------------------------------------------------------------------------------------


def test_after_power_up_it_echoes_until_told_not_to() -> None:
    """The echo is what was written, before the answer; lines are framed by CR LF."""
    modem = Modem(DRIVE, START_NS, Manner(chatter_s=None), 1)
    modem.hear(b"AT\r", START_NS)
    assert modem.say(START_NS) == b"AT\r"
    assert modem.say(START_NS + NS) == b"\r\nOK\r\n"
    modem.hear(b"ATE0\r", START_NS + NS)
    assert modem.say(START_NS + 2 * NS) == b"ATE0\r\r\nOK\r\n"
    modem.hear(b"AT\r", START_NS + 2 * NS)
    assert modem.say(START_NS + 3 * NS) == b"\r\nOK\r\n"


@pytest.mark.parametrize("vendor", ["quectel", "simcom"])
def test_it_says_who_it_is_and_what_the_network_is(vendor: Vendor) -> None:
    """Registration at home, a signal in range, a SIM, and an IMEI whose check digit is right and whose device is not real."""
    desk = Desk(vendor=vendor).ready()
    assert vendor.upper() in desk.ask("AT+CGMI")[0].upper()
    assert [desk.ask(command)[0] for command in ("AT+CREG?", "AT+CEREG?", "AT+CPIN?", "AT+CGSN")] == [
        "+CREG: 0,1",
        "+CEREG: 0,1",
        "+CPIN: READY",
        IMEI,
    ]
    rssi, ber = desk.ask("AT+CSQ")[0].removeprefix("+CSQ: ").split(",")
    assert (10 < int(rssi) <= 31, ber) == (True, "99")
    digits = [int(digit) * (1 + odd % 2) for odd, digit in enumerate(IMEI)]
    assert sum(number // 10 + number % 10 for number in digits) % 10 == 0
    assert IMEI.startswith("00")


@pytest.mark.parametrize("command", ["AT+NOSUCH", "AT+CSQ=", "hello", "AT+QGPSLOC=7"])
def test_what_it_does_not_know_is_an_error(command: str) -> None:
    """A plain one."""
    assert Desk().ready().ask(command) == ["ERROR"]


def test_one_makers_command_is_unknown_to_the_other() -> None:
    """As with real modems, which is how a maker is told apart."""
    assert Desk(vendor="simcom").ready().ask("AT+QGPSLOC=2") == ["ERROR"]
    assert Desk(vendor="quectel").ready().ask("AT+CGNSINF") == ["ERROR"]


def test_errors_are_as_cmee_wants_them() -> None:
    """Nothing, numbers, words."""
    desk = Desk(sim=False).ready()
    told = [[desk.ask(f"AT+CMEE={mode}"), desk.ask("AT+CPIN?")][1] for mode in (0, 1, 2)]
    assert told == [["ERROR"], ["+CME ERROR: 10"], ["+CME ERROR: SIM not inserted"]]


def test_commands_in_one_write_are_answered_in_order() -> None:
    """One after the other, whatever each takes."""
    desk = Desk().ready()
    assert [line[:6] for line in desk.ask("AT+CSQ\rAT+CPIN?\rAT+CREG?\rAT+COPS?")][::2] == ["+CSQ: ", "+CPIN:", "+CREG:", "+COPS:"]


def test_in_the_tunnel_the_signal_is_weak() -> None:
    """The network is the drive's too."""
    assert Desk(Drive.load("tunnel", 1), 150.0).ready().ask("AT+CSQ")[0] == "+CSQ: 4,99"


# -- positions --------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(drive=drives(), at_s=st.integers(5, 100), command=st.sampled_from(sorted(POSITIONS)))
def test_each_position_is_the_truth_at_its_resolution(drive: Drive, at_s: int, command: str) -> None:
    """Read by the product's own reader: place, height, speed, course, time and quality of the last whole second of UTC."""
    desk = Desk(drive, at_s, vendor=POSITIONS[command]).ready()
    line, final = desk.ask(command, 0.9)
    epoch_ns = desk.modem.t_ns // NS * NS
    fixes = {ns: read_answer(line.encode(), 5) for ns in (epoch_ns, epoch_ns - NS)}
    told_ns = next(ns for ns, fix in fixes.items() if fix.utc_ns == ns)
    fix, state = fixes[told_ns], drive.state((told_ns - START_NS) / NS)
    step_deg = RESOLUTION_DEG.get(command, 1e-6)
    assert final == "OK"
    assert fix.lat_deg == pytest.approx(state.lat_deg, abs=0.51 * step_deg)
    assert fix.lon_deg == pytest.approx(state.lon_deg, abs=0.51 * step_deg)
    assert fix.alt_m == pytest.approx(state.alt_m, abs=0.051)
    assert fix.speed_mps == pytest.approx(state.speed_mps, abs=0.051 * KNOT_MPS)
    if state.speed_mps > 0.5:
        assert fix.course_deg == pytest.approx(state.heading_deg % 360, abs=0.0051)
    assert fix.hdop == (None if command == "AT+CGPSINFO" else float(HDOP))
    assert fix.mode >= 2


@pytest.mark.parametrize(
    ("command", "off", "none"),
    [
        ("AT+QGPSLOC=2", "+CME ERROR: 505", "+CME ERROR: 516"),
        ("AT+QGPSLOC?", "+CME ERROR: 505", "+CME ERROR: 516"),
        ("AT+CGNSSINFO", "+CGNSSINFO: ,,,,,,,,,,,,,,,", "+CGNSSINFO: ,,,,,,,,,,,,,,,"),
        ("AT+CGPSINFO", "+CGPSINFO: ,,,,,,,,", "+CGPSINFO: ,,,,,,,,"),
        ("AT+CGNSINF", "+CGNSINF: 0,,,,,,,,,,,,,,,,,,,,", "+CGNSINF: 1,0,,,,0.00,0.0,0,,,,,,2,0,,,,,"),
    ],
)
def test_without_a_fix_it_says_so_as_its_maker_does(command: str, off: str, none: str) -> None:
    """The receiver off after power-up; on and in the tunnel."""
    vendor = POSITIONS[command]
    desk = Desk(Drive.load("tunnel", 1), 150.0, vendor=vendor)
    assert desk.ask("AT+CMEE=1")[-1] == "OK"
    assert desk.ask(command)[1] == off
    assert desk.ask(ON[vendor])[-1] == "OK"
    assert desk.ask(command)[1] == none
    for line in (off, none):
        assert read_answer(line.encode(), 5).mode == 0


def test_a_receiver_that_is_on_cannot_be_switched_on() -> None:
    """504 at Quectel, a plain error at SIMCom; off, a second off is 505."""
    assert Desk(vendor="quectel").ready().ask("AT+QGPS=1") == ["+CME ERROR: 504"]
    assert Desk(vendor="simcom").ready().ask("AT+CGPS=1") == ["ERROR"]
    desk = Desk(vendor="quectel").ready()
    assert [desk.ask("AT+QGPSEND") for _ in range(2)] == [["OK"], ["+CME ERROR: 505"]]


@pytest.mark.parametrize(("at_s", "modes"), [(60.0, [3]), (150.0, [0])])
def test_sentences_by_at_are_the_receivers(at_s: float, modes: list[int]) -> None:
    """Each kind with a right checksum; in the tunnel void ones."""
    desk = Desk(Drive.load("tunnel", 1), at_s).ready()
    lines = [line for kind in ("RMC", "GGA", "GSA", "VTG") for line in desk.ask(f'AT+QGPSGNMEA="{kind}"', 0.1)]
    epochs, assembler = Epochs(), LineAssembler()
    said = "".join(f"{line.removeprefix('+QGPSGNMEA: ')}\r\n" for line in lines if line != "OK").encode()
    fixes = [fix for line in assembler.feed(said) for fix in epochs.feed_line(line, 5)] + epochs.flush()
    assert [fix.mode for fix in fixes] == modes
    assert (epochs.good >= 4, epochs.bad_checksum) == (True, 0)


# -- calls ------------------------------------------------------------------------------------------------------------


def test_simcom_tells_a_call_from_dial_to_clear_down() -> None:
    """OK at once, alerting, up; hung up by us with its duration."""
    desk = Desk(vendor="simcom").ready()
    assert desk.ask("ATD+8610112;", 0.5) == ["OK", '+CLCC: 1,0,2,0,0,"+8610112",145']
    assert desk.later(1) == ['+CLCC: 1,0,3,0,0,"+8610112",145']
    assert desk.ask("AT+CLCC", 0.5) == ['+CLCC: 1,0,3,0,0,"+8610112",145', "OK"]
    assert desk.later(2) == ["VOICE CALL: BEGIN", '+CLCC: 1,0,0,0,0,"+8610112",145']
    desk.later(60)
    assert desk.ask("AT+CHUP") == ['+CLCC: 1,0,6,0,0,"+8610112",145', "VOICE CALL: END: 000100", "OK"]
    assert desk.ask("AT+CLCC") == ["OK"]


def test_quectel_tells_a_call_from_dial_to_clear_down() -> None:
    """The same by ^DSCI; the other side hangs up."""
    desk = Desk(vendor="quectel", talk_s=5.0).ready()
    said = desk.ask("ATD10112;", 20)
    assert said == ["OK", *(f"^DSCI: 1,0,{stat},0,10112,129" for stat in (2, 7, 3, 6)), "NO CARRIER"]
    told = [progress_in(PROFILE["quectel"], line.encode()) for line in said]
    assert told == [None, "dialling", "alerting", "up", "over", "over"]


def test_quectel_without_reports_is_asked() -> None:
    """After power-up only AT+CLCC shows that the call is up."""
    desk = Desk(vendor="quectel")
    assert desk.ask("ATD10112;", 10)[1:] == ["OK"]
    assert desk.ask("AT+CLCC")[1] == '+CLCC: 1,0,0,0,0,"10112",129'


@pytest.mark.parametrize("vendor", ["quectel", "simcom"])
@pytest.mark.parametrize(("outcome", "result"), [("busy", "BUSY"), ("no-answer", "NO ANSWER"), ("no-carrier", "NO CARRIER")])
def test_fault_a_call_that_fails_and_the_next_that_does_not(vendor: Vendor, outcome: str, result: str) -> None:
    """OK first, the result when it is known; then a redial is answered."""
    desk = Desk(vendor=vendor, calls=(outcome, "answered")).ready()
    said = desk.ask("ATD112;", 10)
    assert (said[0], said[-1]) == ("OK", result)
    assert desk.ask("AT+CLCC") == ["OK"]
    desk.ask("ATD112;", 10)
    assert ",0,0,0," in desk.ask("AT+CLCC")[0]


@pytest.mark.parametrize("manner", [{"registration": 2}, {"registration": 3}, {"sim": False}])
def test_fault_no_network(manner: dict[str, Any]) -> None:
    """Searching, denied, no SIM: no call, no operator, no signal."""
    desk = Desk(**manner).ready()
    assert desk.ask("ATD112;") == ["NO CARRIER"]
    assert desk.ask("AT+COPS?")[0] == "+COPS: 0"
    assert desk.ask("AT+CSQ")[0] == "+CSQ: 99,99"
    assert desk.ask("AT+CREG?")[0] != "+CREG: 0,1"


def test_a_second_dial_and_a_data_call_are_refused() -> None:
    """One call at a time; without ";" it would be data."""
    desk = Desk().ready()
    desk.ask("ATD112;", 10)
    assert desk.ask("ATD112;") == ["+CME ERROR: 3"]
    assert desk.ask("ATD112") == ["NO CARRIER"]


@pytest.mark.parametrize(("vendor", "begin"), [("simcom", ["VOICE CALL: BEGIN"]), ("quectel", [])])
def test_the_centre_calls_back_and_is_answered(vendor: Vendor, begin: list[str]) -> None:
    """RING each five seconds until ATA."""
    desk = Desk(vendor=vendor, calls=("busy",), back_s=30.0)
    desk.ask("ATE0")
    desk.ask("ATD112;", 6)
    assert desk.later(36).count("RING") == 2
    assert desk.ask("AT+CLCC")[0].startswith("+CLCC: 1,1,4,")
    assert desk.ask("ATA", 0.5) == [*begin, "OK"]
    assert desk.ask("AT+CLCC", 0.5)[0].startswith("+CLCC: 1,1,0,")
    assert "RING" not in desk.later(60)


def test_a_call_ends_once() -> None:
    """Hung up by us before the other side would have: what was to come does not come."""
    desk = Desk(vendor="quectel", talk_s=30.0).ready()
    desk.ask("ATD112;", 10)
    desk.ask("ATH", 1)
    assert desk.later(120) == []


@pytest.mark.parametrize(("vendor", "last"), [("simcom", "MISSED_CALL"), ("quectel", "NO CARRIER")])
def test_fault_a_call_back_that_nobody_answers(vendor: Vendor, last: str) -> None:
    """It stops ringing by itself, and is not followed by another."""
    desk = Desk(vendor=vendor, calls=("busy",), back_s=1.0)
    desk.ask("ATD112;", 4)
    said = desk.later(600)
    assert said.count("RING") == RINGS_MAX
    assert said[-1].startswith(last)
    assert desk.ask("ATA")[-1] == "NO CARRIER"


# -- faults and repeatability -----------------------------------------------------------------------------------------


def test_fault_the_first_command_is_an_error() -> None:
    """After power-up and after a pause; the next one is answered."""
    desk = Desk(first_error=True)
    assert [desk.ask("AT")[-1] for _ in range(3)] == ["ERROR", "OK", "OK"]
    desk.later(60)
    assert [desk.ask("AT")[-1] for _ in range(2)] == ["ERROR", "OK"]


def test_fault_silence_and_everything_at_its_end() -> None:
    """Nothing for ten seconds, then what was asked in them."""
    desk = Desk(at_s=0.0, silences=((10.0, 10.0),)).ready()
    desk.later(12 - (desk.t_ns - START_NS) / NS)
    assert desk.ask("AT+CPIN?", 7.9) == []
    assert desk.later(0.2) == ["+CPIN: READY", "OK"]


def test_fault_garbage_is_never_an_answer() -> None:
    """Every piece spoilt: whatever still reads as a line is one that the modem said."""
    desk = Desk(vendor="simcom", garbage=1.0)
    heard = [line for _ in range(50) for line in desk.ask("AT+CPIN?") if line.isascii() and line.isprintable()]
    assert set(heard) <= {"AT+CPIN?", "+CPIN: READY", "OK"}
    assert 50 < len(heard) < 150


def test_it_speaks_unasked_and_power_up_forgets_everything() -> None:
    """Lines of its own in between; after a replug the echo is back, the receiver is off, the call is gone."""
    desk = Desk(chatter_s=5.0).ready()
    assert 10 < len(desk.later(120)) < 60
    desk.ask("ATD112;", 10)
    desk.modem.restart(desk.t_ns)
    assert (desk.modem.echo, desk.modem.gnss, desk.modem.call) == (True, False, None)


@pytest.mark.parametrize("vendor", ["quectel", "simcom"])
def test_the_same_seed_says_the_same(vendor: Vendor) -> None:
    """Byte for byte, with chatter and garbage."""

    def conversation() -> list[str]:
        desk = Desk(vendor=vendor, chatter_s=2.0, garbage=0.3)
        return [line for command in ("AT", "ATE0", ON[vendor], *POSITIONS, "ATD112;") for line in desk.ask(command, 5)]

    assert conversation() == conversation()


# -- the program ------------------------------------------------------------------------------------------------------


def test_the_program_answers_on_its_link_and_comes_back_after_an_unplug(tmp_path: Path) -> None:
    """`ready PATH`; unplugged the port fails and the link is gone; then `ready` again; exit 0 on SIGTERM without a link."""
    link = tmp_path / "at"
    command = [sys.executable, "-m", "hw.bench.modem", "--vendor", "simcom", "--link", str(link), "--unplug", "6", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program, contextlib.ExitStack() as ending:
        ending.callback(program.kill)  # whatever fails below, it does not outlive the test
        assert program.stdout is not None
        word, path = program.stdout.readline().split()
        assert (word, link.readlink()) == ("ready", Path(path))
        port = Port(str(link))
        assert port.ask("AT+CGMI").lines == (b"SIMCOM INCORPORATED",)
        assert port.ask("AT+CGPS=1").result == b"OK"
        port.close()
        with serial.Serial(str(link), timeout=20) as raw, pytest.raises(serial.SerialException):
            raw.read(10_000)
        until(lambda: not link.is_symlink(), "the link to go")
        assert program.stdout.readline().startswith("ready ")
        port = Port(str(link))
        assert port.ask("AT+CGPS=1").result == b"OK"  # it is off again, else this were refused
        port.close()
        program.terminate()
        assert program.wait(10) == 0
    assert not link.is_symlink()


def test_every_option_reaches_the_modem() -> None:
    """None is parsed and forgotten."""
    words = "--vendor simcom --registration 5 --no-sim --call busy,answered --answer-s 1 --talk-s 2 --back-s 3 --chatter-s 0"
    manner = manner_of(parser().parse_args([*words.split(), "--first-error", "--refuse-texts", "--garbage", "0.5", "--silence", "7", "8"]))
    assert manner == Manner(
        vendor="simcom",
        registration=5,
        sim=False,
        calls=("busy", "answered"),
        answer_s=1.0,
        talk_s=2.0,
        back_s=3.0,
        texts=False,
        chatter_s=None,
        first_error=True,
        silences=((7.0, 8.0),),
        garbage=0.5,
    )


@pytest.mark.parametrize("arguments", [["--scenario", "nowhere"], ["--call", "maybe"]])
def test_what_cannot_be_played_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A missing scenario, an outcome that is none."""
    try:
        status: object = main(arguments)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert capsys.readouterr().err

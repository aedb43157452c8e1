"""The commands that the simulated modem knows: those of every maker, and each maker's own.

Sources: 3GPP TS 27.007 and V.250; TS 27.005 for texts; the makers' AT command manuals.
"""

from __future__ import annotations

from collections.abc import Callable

from hw.bench import whereabouts

IMEI = "001013000123457"
"""Begins with 00, which no approved device has; its last digit is the check digit of TS 23.003 annex B."""
MAKERS = {"simcom": ("SIMCOM INCORPORATED", "SIMCOM_SIM7600CE"), "quectel": ("Quectel", "EC25")}

Act = Callable[..., list[str]]
COMMON: dict[str, Act] = {
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
    r"AT\+CMGF=0": lambda modem: modem.put("by_pdu", "1"),
    r"AT\+CMGS=(\d{1,3})": lambda modem, length: modem.ask_text(length),
    r"AT\+CLCC": lambda modem: [*([modem.described(modem.call, unasked=False)] if modem.call else []), "OK"],
    r"ATD(\+?[0-9*#]{1,32});": lambda modem, number: modem.dial(number),
    r"ATD\S*": lambda _: ["NO CARRIER"],
    r"ATA": lambda modem: modem.pick_up(),
    r"ATH0?|AT\+CHUP": lambda modem: modem.hang_up(),
}
"""A whole command -> what it does; the groups of the pattern are its arguments. ATD without ";" is a data call: none here."""
QUECTEL: dict[str, Act] = {
    r"AT\+QGPS=(1)(?:,[\d,]*)?": lambda modem, value: modem.switch(value),
    r"AT\+QGPSEND": lambda modem: modem.switch("0") if modem.gnss else modem.error(505),
    r"AT\+QGPS\?": lambda modem: [f"+QGPS: {int(modem.gnss)}", "OK"],
    r"AT\+QGPSLOC=([012])": lambda modem, form: modem.place(form),
    r"AT\+QGPSLOC\?": lambda modem: modem.place("0"),
    r'AT\+QGPSGNMEA="(GGA|RMC|GSA|VTG)"': lambda modem, kind: modem.sentences(kind),
    r"AT\^DSCI=([01])": lambda modem, value: modem.put("reports", value),
}
SIMCOM: dict[str, Act] = {
    r"AT\+CGPS=([01])(?:,[\d,]*)?": lambda modem, value: modem.switch(value),
    r"AT\+CGNSPWR=([01])": lambda modem, value: modem.put("gnss", value),
    r"AT\+CGNSSINFO": lambda modem: [whereabouts.simcom_info(modem.fixed(), modem.epoch_ns), "OK"],
    r"AT\+CGPSINFO": lambda modem: [whereabouts.simcom_gps(modem.fixed(), modem.epoch_ns), "OK"],
    r"AT\+CGNSINF": lambda modem: [whereabouts.simcom_inf(modem.fixed(), modem.epoch_ns, running=modem.gnss), "OK"],
    r"AT\+CLCC=([01])": lambda modem, value: modem.put("reports", value),
}

"""Runs of the bench to be told, short or made by hand, and a reader of the page that tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from agent.catalogue.load import load_catalogue, shipped_catalogue
from agent.catalogue.types import Catalogue
from agent.cli.bench.chronicle import Chronicle
from agent.cli.bench.journey import Journey
from agent.cli.bench.page import write_page
from agent.cli.bench.telling import Run
from agent.cli.bench.virtual import START_NS, play_virtual
from agent.cli.loading import load_choice, load_named_vehicle
from agent.core.outcome import sorted_lines
from agent.core.tally import Counts, summary_of
from agent.folders import config_folder
from agent.vss import LOCATION
from hw.bench.truth import Drive
from hw.can.replay import LogCounters

VOID = {"meta"}
PROBE = "real_time_traffic.probe"


class Parsed(HTMLParser):
    """Elements with their attributes, all text, and whether each tag is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.broken: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]

    def stretches(self, name: str) -> list[tuple[float, float]]:
        """From and to where a row is shaded, in percent; the samples of a legend have no percent."""
        shaded = [one for one in self.of_class(name) if "%" in str(one.get("width"))]
        pairs = [(float(str(one["x"]).rstrip("%")), float(str(one["width"]).rstrip("%"))) for one in shaded]
        return [(begin, begin + width) for begin, width in pairs]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@cache
def catalogue() -> Catalogue:
    return load_catalogue(shipped_catalogue())


@cache
def played(scenario: str, seconds: float, consent: str = "all") -> tuple[Run, Drive]:
    """A real run on the virtual clock and the truth that it was about; each is played once."""
    drive, chronicle = Drive.load(scenario, 3), Chronicle()
    run, epochs, frames = play_virtual(
        scenario=scenario,
        seed=3,
        seconds=seconds,
        package="navigation_plus",
        choice=load_choice(consent),
        catalogue=catalogue(),
        vehicle=load_named_vehicle(config_folder() / "vehicles" / "bench"),
        chronicle=chronicle,
    )
    lines = [dict(line) for line in sorted_lines(run.received.lines)]
    counts = Counts(log=LogCounters(read=frames), epochs=epochs, unknown_id=0, duration_s=seconds, cpu_s=0)
    summary = summary_of(run, lines, counts)
    return Run(lines=lines, summary=summary, chronicle=chronicle, catalogue=catalogue(), start_ns=run.scene.start_ns), drive


@cache
def journey(scenario: str) -> Journey:
    """The truth of a whole scenario."""
    drive = Drive.load(scenario)
    return Journey.of(drive, drive.seconds)


def rule(signal: str, name: str = PROBE, **changed: Any) -> dict[str, Any]:
    """A rule as a plan's document has it."""
    service, _, stream = name.partition(".")
    made: dict[str, Any] = {
        "service": service,
        "stream": stream,
        "signal": signal,
        "recipient": "traffic",
        "basis": "consent",
        "because": "entry 1",
    }
    made |= {"triggers": ["periodic"], "every_s": 30, "while": "driving", "time_floor_s": 10, "transforms": []}
    return made | changed


def refusal(signal: str, name: str = PROBE, reason: str = "no_consent") -> dict[str, Any]:
    service, _, stream = name.partition(".")
    return {"service": service, "stream": stream, "signal": signal, "reason": reason}


def plan(name: str, *rules: Mapping[str, Any], refused: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    return {"id": name, "rules": list(rules), "refused": list(refused)}


PLACE = rule(LOCATION, transforms=[{"trim_trip_m": 500}, {"grid_m": 200}])


def place(t_s: float, drive: Drive, seq: int, name: str = PROBE, **changed: Any) -> list[dict[str, Any]]:
    """Both halves of where the car of a drive was, as a recipient reads them."""
    car, (service, _, stream) = drive.state(t_s), name.partition(".")
    made = {"service": service, "stream": stream, "identity": "none", "seq": seq, "unit": "degrees", "t": START_NS / 1e9 + t_s}
    both = (("Latitude", car.lat_deg), ("Longitude", car.lon_deg))
    return [{**made, "signal": f"{LOCATION}.{half}", "value": value, **changed} for half, value in both]


def told(lines: Sequence[Mapping[str, Any]], seconds: float, *plans: tuple[float, Mapping[str, Any]]) -> Run:
    """A run made by hand. `plans`: each with the second of the drive from which it was in force; all left under the first."""
    chronicle = Chronicle()
    for t_s, one in plans:
        chronicle.note(lines, one, t_s=t_s)
    messages = {f"{line['service']}.{line['stream']}": {"messages": 0} for line in lines}
    for name, _ in {(f"{line['service']}.{line['stream']}", line["seq"]) for line in lines}:
        messages[name]["messages"] += 1
    summary: dict[str, Any] = {"frames_read": 1000, "frames_delivered": 10, "fixes_read": 5, "readings": 12, "bytes_wire": 99}
    summary |= {"samples": len(lines), "streams": messages, "messages": sum(one["messages"] for one in messages.values())}
    summary |= {"duration_s": seconds, "notes": ()}
    return Run(lines=lines, summary=summary, chronicle=chronicle, catalogue=catalogue(), start_ns=START_NS)


def page_of(run: Run, drive: Drive, folder: Path) -> str:
    write_page(folder / "deep" / "page.html", run, drive)
    return (folder / "deep" / "page.html").read_text(encoding="utf-8")


def parsed(run: Run, drive: Drive, folder: Path) -> Parsed:
    return Parsed(page_of(run, drive, folder))

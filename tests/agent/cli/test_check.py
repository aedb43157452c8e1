"""`modicum check` as a person meets it: what it prints, where, and its exit status."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agent.catalogue.load import shipped_catalogue
from agent.cli.check import PROOF
from agent.cli.main import main
from agent.folders import config_folder
from tests.agent.catalogue.trees import small, stream, write

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def go(*arguments: str | Path) -> Said:
        status = main(["check", *map(str, arguments)])
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return go


def test_shipped_files_are_in_order(run: Any) -> None:
    """Without arguments: catalogue, policies and every shipped vehicle, exit 0, nothing on stderr."""
    said = run()
    assert (said.status, said.err) == (0, "")
    assert "10 services, 16 streams" in said.out
    assert "policies: 2026-11" in said.out
    for vehicle in (config_folder() / "vehicles").glob("*/vehicle.toml"):
        assert f"{vehicle.parent}: " in said.out


def test_json_is_one_document(run: Any) -> None:
    """--json prints one document on stdout and nothing else there."""
    said = run("--json")
    assert said.status == 0
    assert said.document["ok"] is True
    assert {entry["kind"] for entry in said.document["checked"]} == {"catalogue", "vehicle"}


def test_findings_are_one_line_each_with_file_key_and_hint(run: Any, tmp_path: Path) -> None:
    """Exit 1; each finding is `modicum: WHAT (WHERE): WHAT TO DO`; a warning says so."""
    tree = small()
    stream(tree).pop("keep")
    stream(tree, 1)["every_s"] = 5
    tree["events.toml"]["events"]["fast"]["when"] = "Vehicle.Nothing > 1"
    said = run("--catalogue", write(tree, tmp_path))
    assert said.status == 1
    lines = said.err.splitlines()
    assert any("(services/a.toml: stream[0].keep)" in line for line in lines)
    assert any("(events.toml: events.fast.when)" in line for line in lines)
    assert all(re.match(r"modicum: .+: .+", line) for line in lines)
    assert "Traceback" not in said.err


def test_json_carries_the_findings(run: Any, tmp_path: Path) -> None:
    """Code, severity, what, where and hint of each finding are in the document, exit 1."""
    tree = small()
    stream(tree).pop("keep")
    said = run("--catalogue", write(tree, tmp_path), "--json")
    assert said.status == 1
    assert said.document["ok"] is False
    (finding,) = said.document["findings"]
    assert (finding["code"], finding["severity"], finding["where"]) == ("missing-key", "error", "services/a.toml: stream[0].keep")


def test_a_catalogue_without_policies_is_told_what_that_means(run: Any, tmp_path: Path) -> None:
    """Nobody has to acknowledge anything; versions that were left beside it are not used."""
    tree = {name: table for name, table in small().items() if not name.startswith("policies/")}
    folder = write(tree, tmp_path / "catalogue")
    said = run("--catalogue", folder)
    assert said.status == 0
    assert said.err.startswith(f"modicum: warning: no policy version ({folder / 'policies'}): everything counts as acknowledged")
    assert "are not used" not in said.err
    assert "policies: none, everything counts as acknowledged" in said.out
    shutil.copytree(config_folder() / "policies", tmp_path / "policies")
    assert f"the versions in {tmp_path.resolve() / 'policies'} are not used" in run("--catalogue", folder).err


def test_a_policy_that_cannot_be_read_is_not_called_missing(run: Any, tmp_path: Path) -> None:
    """Its own error says what is wrong."""
    tree = small()
    tree["policies/2026-11/policy.toml"].pop("contact")
    said = run("--catalogue", write(tree, tmp_path), "--json")
    assert [finding["code"] for finding in said.document["findings"]] == ["missing-key"]


def test_warnings_do_not_fail(run: Any, tmp_path: Path) -> None:
    """A doubt is on stderr with the word warning, exit 0."""
    tree = small()
    stream(tree, 1)["every_s"] = 5
    said = run("--catalogue", write(tree, tmp_path))
    assert said.status == 0
    assert said.err.startswith("modicum: warning: ")


@pytest.mark.parametrize("arguments", [("--catalogue", "nowhere"), ("--config", "nowhere.toml"), ("--vehicle", "nowhere"), ("--sideways",)])
def test_wrong_arguments_exit_2_in_one_line(arguments: tuple[str, ...], run: Any) -> None:
    """What does not exist is a wrong argument, said in one line."""
    said = run(*arguments)
    assert said.status == 2
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("modicum: ")


@pytest.mark.parametrize("name", ["gm_global_a_lowspeed", "mazda_2017", "tesla_can"])
def test_refused_dbc_is_named_with_its_line(name: str, run: Any, tmp_path: Path, data: Path) -> None:
    """A DBC that cannot be read: exit 1, file and line."""
    dbc = data / "dbc/opendbc" / f"{name}.dbc"
    (tmp_path / "vehicle.toml").write_text(
        f'[vehicle]\ntitle = "T"\n[buses.x]\ndbc = [{json.dumps(str(dbc))}]\n[signals]\n', encoding="utf-8"
    )
    said = run("--vehicle", tmp_path)
    assert said.status == 1
    assert re.search(rf"{name}\.dbc:\d+: ", said.err)


def test_broken_vehicle_file_is_a_finding(run: Any, tmp_path: Path) -> None:
    """vehicle.toml with an unknown key: exit 1, the file is named."""
    (tmp_path / "vehicle.toml").write_text('[vehicle]\ntitle = "T"\ncolour = "red"\n[buses]\n', encoding="utf-8")
    said = run("--vehicle", tmp_path)
    assert said.status == 1
    assert "vehicle.toml" in said.err
    assert "colour" in said.err


def test_unit_that_cannot_be_converted_is_a_finding(run: Any, tmp_path: Path) -> None:
    """A speed in kelvin is refused before a car has to find out."""
    shutil.copytree(config_folder() / "vehicles/bench", tmp_path / "bench")
    path = tmp_path / "bench/vehicle.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"km/h"', '"kelvin"', 1), encoding="utf-8")
    said = run("--vehicle", tmp_path / "bench")
    assert said.status == 1
    assert "'kelvin' cannot become 'km/h'" in said.err


def test_device_file_is_checked_with_its_vehicle(run: Any, tmp_path: Path) -> None:
    """--config: unknown package, bus and platform are errors; missing keys are warnings."""
    raw = (config_folder() / "agent.toml").read_text(encoding="utf-8")
    path = tmp_path / "agent.toml"
    path.write_text(raw, encoding="utf-8")
    assert run("--config", path).status == 0
    path.write_text(raw.replace('"navigation_plus"', '"everything"').replace('name = "pt"', 'name = "other"'), encoding="utf-8")
    said = run("--config", path)
    assert said.status == 1
    assert "entitlement.package" in said.err
    assert "the vehicle has no bus 'other' (agent.toml: bus[0].name): name it as under [buses] of vehicle.toml" in said.err
    assert "bus 'pt' of the vehicle is not connected (agent.toml: bus): its signals are never seen; add a [[bus]]" in said.err
    path.write_text(raw.replace('platform = "bench"', 'platform = "boat"'), encoding="utf-8")
    assert "vehicle.platform" in run("--config", path).err


def test_recipient_that_the_device_lacks_is_said(run: Any, tmp_path: Path) -> None:
    """A catalogue's recipient that agent.toml does not describe, and a region that is not allowed, are warnings."""
    raw = (config_folder() / "agent.toml").read_text(encoding="utf-8")
    path = tmp_path / "agent.toml"
    path.write_text(raw.replace("[recipients.journey]", "[recipients.jorney]").replace('["CN"]', '["DE"]'), encoding="utf-8")
    said = run("--config", path)
    assert said.status == 0
    assert "recipient 'journey' is not described" in said.err
    assert "region CN is not allowed" in said.err


def test_prove_says_what_was_enumerated(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """--prove prints what the proof went through, and fails on a broken promise."""
    proof = ModuleType(PROOF)
    monkeypatch.setattr(proof, "prove", lambda catalogue: (f"{len(catalogue.services)} services", []), raising=False)
    monkeypatch.setitem(sys.modules, PROOF, proof)
    said = run("--prove")
    assert (said.status, "proved: 10 services" in said.out) == (0, True)
    monkeypatch.setattr(proof, "prove", lambda catalogue: ("all", ["a rule without consent"]))
    said = run("--prove", "--json")
    assert said.status == 1
    assert said.document["findings"][0]["what"] == "a rule without consent"


BLOCK = re.compile(r"^```(?:toml|dbc) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_examples_of_adding_work(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Following docs/adding.md by copying its blocks gives a catalogue and a vehicle without errors."""
    shutil.copytree(shipped_catalogue().parent, tmp_path / "config")
    monkeypatch.setenv("MODICUM_CONFIG_DIR", str(tmp_path / "config"))
    blocks = BLOCK.findall((ROOT / "docs/adding.md").read_text(encoding="utf-8"))
    assert len(blocks) == 6
    for name, text in blocks:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" + text if path.stat().st_size else text)
    said = run("--json")
    assert said.status == 0, said.err
    assert {(finding["code"], finding["severity"]) for finding in said.document["findings"]} == {("not-in-policy", "warning")}
    example = next(entry for entry in said.document["checked"] if entry["path"].endswith("vehicles/example"))
    assert example["mapped"] == 2


def bench(folder: Path, *changes: tuple[str, str]) -> Path:
    """The bench car with changes in its vehicle.toml."""
    made = shutil.copytree(config_folder() / "vehicles/bench", folder / "bench")
    text = (made / "vehicle.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (made / "vehicle.toml").write_text(text, encoding="utf-8")
    return made


NAMED = ', unit = "", values = { 0 = "OFF", 1 = "ACC", 2 = "ON", 3 = "START" }'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (NAMED, "", "never says on or off"),
        (NAMED, ", values = { 0 = 0, 1 = 1 }", "never says on or off"),
        (', encoding = "ascii"', "", "read as a number"),
        ("[signals]", '[signals]\n"Vehicle.X" = { bus = "pt", from = "MOTION.SPEDE" }', "did you mean 'SPEED'?"),
        ('dbc = ["bench.dbc"]', 'dbc = ["bench.dbc", "other.dbc"]', "other.dbc: No such file or directory"),
    ],
)
def test_what_the_agent_could_not_work_with_is_said(old: str, new: str, said: str, run: Any, tmp_path: Path) -> None:
    """Ignition and VIN as bare numbers, a misspelt source, a file that is not there: exit 1, one line each."""
    found = run("--vehicle", bench(tmp_path, (old, new)))
    assert found.status == 1
    assert said in found.err
    assert "strict = false" not in found.err


def test_an_ignition_of_yes_and_no_is_one(run: Any, tmp_path: Path) -> None:
    """Truth values say on and off too."""
    assert run("--vehicle", bench(tmp_path, (NAMED, ", values = { 0 = false, 1 = true }"))).status == 0


def test_what_the_agent_reads_for_itself_is_not_called_unread(run: Any, tmp_path: Path) -> None:
    """A catalogue need not declare the speed, and one with a name nearly like it is not meant."""
    tree = small()
    signals = tree["signals.toml"]["signals"]
    signals["Vehicle.Speeds"] = signals.pop("Vehicle.Speed")
    tree["events.toml"]["events"] = {}
    stream(tree)["triggers"] = ["periodic"]
    said = run("--catalogue", write(tree, tmp_path / "catalogue"), "--vehicle", config_folder() / "vehicles/bench")
    assert said.status == 0
    assert "Vehicle.Speeds?" not in said.err


def test_a_misspelt_signal_and_a_forgotten_unit_are_said(run: Any, tmp_path: Path) -> None:
    """Both would go unnoticed: the one is never read, the other is sent in the wrong unit."""
    folder = bench(tmp_path, ('"Vehicle.Diagnostics.DTCList"', '"Vehicle.Diagnostic.DTCList"'), (', unit = "kPa" }', " }"))
    dbc = (folder / "bench.dbc").read_text()
    (folder / "bench.dbc").write_text(dbc.replace('"kPa"', '"bar"'))
    said = run("--vehicle", folder)
    assert said.status == 0
    assert "do you mean Vehicle.Diagnostics.DTCList?" in said.err
    assert "the DBC says 'bar', the catalogue 'kPa'" in said.err

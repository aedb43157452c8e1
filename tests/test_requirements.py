"""The pinned packages: whole, hashed, without an address, without what a device must not have, and what is installed here."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from tests.sources import ROOT

FOLDER = ROOT / "requirements"
LOCKS = ("build", "device", "bench", "test", "mf4")
NEVER_ON_A_DEVICE = {"numpy", "pandas", "asammdf"}


@functools.cache
def pins(name: str) -> dict[NormalizedName, Requirement]:
    """Every pinned package of a lock file by its canonical name."""
    lines = _joined((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    found = [Requirement(line.partition(" --hash=")[0]) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def _joined(text: str) -> list[str]:
    whole = text.replace("\\\n", " ")
    return [re.sub(r" +", " ", line).strip() for line in whole.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _inputs(name: str) -> dict[NormalizedName, Requirement]:
    lines = (FOLDER / f"{name}.in").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and line[0].isalnum()]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def _declared(extra: str | None) -> dict[NormalizedName, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, listed)}


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_hashes(name: str) -> None:
    """Nothing but `name==version` with SHA-256 hashes: no option, no address, no path."""
    pinned = re.compile(r"[\w.-]+(?:\[[\w,-]+\])?==[\w.]+(?: ; [\w .'\"=<>!()]+)?(?: --hash=sha256:[0-9a-f]{64})+")
    lines = _joined((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    assert [line[:80] for line in lines if not pinned.fullmatch(line)] == []
    assert lines


@pytest.mark.parametrize("name", LOCKS)
def test_no_address_or_place_stands_in_a_lock_file(name: str) -> None:
    """Also not in a comment: the same file serves every machine."""
    comments = [line for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines() if "#" in line]
    assert [line for line in comments if re.search(r"://|(?<!\w)/|[A-Z]:\\", line)] == []


@pytest.mark.parametrize("name", ["build", "device", "bench", "test"])
def test_nothing_heavy_is_locked(name: str) -> None:
    """numpy and pandas come with MF4 only."""
    assert NEVER_ON_A_DEVICE & set(pins(name)) == set()
    assert set(pins("mf4")) >= NEVER_ON_A_DEVICE


@pytest.mark.parametrize("name", sorted(NEVER_ON_A_DEVICE))
def test_nothing_heavy_can_be_imported(name: str) -> None:
    """What runs here is what runs on a device, so an import of it by accident would show."""
    if importlib.util.find_spec("asammdf") and name != "asammdf":
        pytest.skip("the extra mf4 is installed in this environment")
    assert importlib.util.find_spec(name) is None


@pytest.mark.parametrize(("smaller", "larger"), [("device", "bench"), ("bench", "test"), ("bench", "mf4")])
def test_the_same_version_everywhere(smaller: str, larger: str) -> None:
    """What is tested is what the device gets: a larger set contains the smaller one pin for pin."""
    small, large = ({name: str(pin.specifier) for name, pin in pins(lock).items()} for lock in (smaller, larger))
    assert small.items() <= large.items()


@pytest.mark.parametrize(("name", "extra"), [("device", None), ("bench", "bench"), ("test", "test"), ("mf4", "mf4")])
def test_pyproject_and_lock_name_the_same_packages(name: str, extra: str | None) -> None:
    """A package that the code may import is declared, asked for and pinned, within the declared range."""
    declared, asked = _declared(extra), _inputs(name)
    assert set(declared) == set(asked)
    for package, requirement in declared.items():
        version = str(pins(name)[package].specifier).removeprefix("==")
        assert str(asked[package].specifier) == f"=={version}"
        assert requirement.specifier.contains(version), package


def test_what_is_installed_is_what_is_locked() -> None:
    """The tests run against the pinned versions and nothing else."""
    expected = {
        name: str(pin.specifier).removeprefix("==") for name, pin in pins("test").items() if pin.marker is None or pin.marker.evaluate()
    }
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("these tests do not run in .venv")
    installed = {canonicalize_name(found.metadata["Name"]): found.version for found in importlib.metadata.distributions()}
    assert {name: installed.get(name) for name in expected} == expected
    assert set(installed) - set(expected) - set(pins("build")) == {"modicum"}

"""What every test may ask for, and how property tests run here."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["pytester", "tests.evidence", "tests.findings", "tests.measured"]

ROOT = Path(__file__).parent.parent

# No database: the same commit gives the same answer on every machine. No deadline: two cores are shared by workers.
hypothesis.settings.register_profile("modicum", database=None, deadline=None, print_blob=True)
hypothesis.settings.load_profile("modicum")


@pytest.fixture(scope="session")
def data() -> Path:
    """The external data set: recorded traffic, receivers' logs, vectors. MODICUM_DATA, else beside the project."""
    folder = Path(os.environ.get("MODICUM_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no data set: neither MODICUM_DATA nor ../shared/data is a folder")
    return folder

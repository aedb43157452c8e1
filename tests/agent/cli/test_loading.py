"""agent.cli.loading: what is wrong with a file that was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.loading import load_choice
from agent.errors import ConfigError


@pytest.mark.parametrize("entry", ['{ state = "MAYBE" }', '{ state = "YES", til = 3 }', '"YES"', "{}"])
def test_a_fault_of_an_item_names_the_item(tmp_path: Path, entry: str) -> None:
    """The first that is wrong, whatever it is, and the file."""
    path = tmp_path / "grants.toml"
    path.write_text(f'[grants]\n"improvement.usage" = {{ state = "YES" }}\n"traffic.position" = {entry}\n')
    with pytest.raises(ConfigError, match=r"consent item traffic\.position: ") as raised:
        load_choice(str(path))
    assert raised.value.where == str(path)


@pytest.mark.parametrize("text", ["not toml", "[grant]\n", "grants = 3\n"])
def test_a_file_that_is_wrong_as_a_whole_names_no_item(tmp_path: Path, text: str) -> None:
    """As before."""
    path = tmp_path / "grants.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a consent file"):
        load_choice(str(path))

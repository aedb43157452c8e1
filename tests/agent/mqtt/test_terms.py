"""What is said of a connection in words that others go by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.mqtt.connection import access
from agent.mqtt.terms import REFUSED, UNREADABLE
from tests.agent.conftest import Keys
from tests.support.core import Running
from tests.support.fake_broker import FakeBroker


def test_what_lasts_until_somebody_mends_it_is_told_in_its_words(keys: Keys, tmp_path: Path) -> None:
    """By them it becomes a finding: a credential that cannot be read, a broker that does not let the device in."""
    with FakeBroker(refuse_v5="code") as broker:
        unreadable, refused = replace(keys.to(1), key=tmp_path / "absent.key"), access(f"mqtt://127.0.0.1:{broker.port}")
        for to, words in ((unreadable, UNREADABLE), (refused, REFUSED)):
            with Running(lambda _, to=to: to) as uplink:  # type: ignore[misc]  # bound at once
                uplink.core.open_lane()
                assert uplink.core.run(lambda: bool(uplink.core.states))
                assert uplink.core.states[0].why.startswith(words)

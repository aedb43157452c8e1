"""A head unit whose receiver sits in a modem: asked by AT, a live agent knows where the car is, and says it when asked to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.cli.bench.stage import Stage
from agent.cli.bench.stage import play as play_live
from hw.bench.truth import Drive
from tests.support.live import SEED, alone, outing_request
from tests.support.truth import NS, Truth
from tests.support.virtual import scenario_file

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

SECONDS, ASK_AT_S = 14.0, 7.0
STREAM = ("remote_assistance", "find_vehicle")
RESOLUTION_DEG = 1e-5
"""Of the coarsest form of a position that these two makers' modems give."""


@dataclass(slots=True)
class Asking:
    """Somebody in the car asks where it is, once."""

    answers: list[Any] = field(default_factory=list)

    def pulse(self, stage: Stage) -> None:
        if stage.elapsed_s > ASK_AT_S and not self.answers:
            self.answers.append(stage.ask("request", stream=".".join(STREAM)))


@pytest.mark.parametrize("maker", ["quectel", "simcom"])
def test_a_modem_s_position_reaches_whoever_was_asked_for(maker: str, tmp_path: Path) -> None:
    """Once a second there is a fix, none is lost, and what the recipient opens is where the car was at that second."""
    asking = Asking()
    with alone():
        stage = play_live(outing_request(tmp_path, SECONDS, receiver=maker, pulse=asking.pulse))
    assert stage.status["fixes"] - stage.status["fixes_void"] >= SECONDS / 2
    assert "receiver-lost" not in {one["code"] for one in stage.status["findings"]}
    assert [answer["given"] for answer in asking.answers] == [["Vehicle.CurrentLocation"]]
    assert stage.listeners is not None
    told = {str(line["signal"]): line for line in stage.listeners.lines if (line["service"], line["stream"]) == STREAM}
    lat, lon = (told[f"Vehicle.CurrentLocation.{half}"] for half in ("Latitude", "Longitude"))
    truth = Truth(Drive.load(scenario_file("outing"), SEED), stage.start_ns)
    near = [truth.state(int(float(str(lat["t"])) * NS) - back_s * NS) for back_s in range(3)]
    lats, lons = ([getattr(state, name) for state in near] for name in ("lat_deg", "lon_deg"))
    assert min(lats) - RESOLUTION_DEG <= float(str(lat["value"])) <= max(lats) + RESOLUTION_DEG
    assert min(lons) - RESOLUTION_DEG <= float(str(lon["value"])) <= max(lons) + RESOLUTION_DEG

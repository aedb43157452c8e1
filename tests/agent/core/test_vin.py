"""Which car it is: the VIN of agent.toml counts once the bus has named it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.parts import Situation
from tests.agent.core.stage import EXTRA, VIN, WEAR, Stage


def tells_vin(stage: Stage, characters: str) -> None:
    """The frame that carries the last seven characters of the VIN."""
    stage.frame("IDENT", SERIAL=int.from_bytes(characters.encode(), "big"))


def believes_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Situation, "vin_known", lambda self: True)


@pytest.mark.req("R01", control=believes_any)
def test_nothing_carries_the_vin_before_the_bus_has_named_this_car(tmp_path: Path) -> None:
    """A unit that was moved to another car must not speak for the first; other streams go on."""
    with Stage(tmp_path, tells_vin=True) as stage:
        stage.trip_of("anna")
        stage.drive(2)
        assert WEAR not in stage.live() | set(stage.stored())
        assert EXTRA in stage.stored()
        assert 0x380 in {one.can_id for one in stage.subscribed[-1]}
        tells_vin(stage, VIN[-7:])
        stage.drive(2)
        assert WEAR in stage.stored()
        tells_vin(stage, "9999999")
        assert stage.core.situation.vin_holds is False
        assert WEAR not in stage.live()


def test_the_vin_is_compared_and_kept_nowhere(tmp_path: Path) -> None:
    """It is no reading of the pipeline, and too few characters are no word."""
    with Stage(tmp_path, tells_vin=True) as stage:
        stage.trip_of("anna")
        tells_vin(stage, VIN[-7:])
        assert "Vehicle.VehicleIdentification.VIN" not in stage.core.pipeline.latest.readings
        assert stage.core.situation.vin_holds
        tells_vin(stage, VIN[-3:])
        assert stage.core.situation.vin_holds is False


def test_a_car_that_does_not_tell_its_vin_is_the_configured_one(stage: Stage) -> None:
    """Nothing to compare with."""
    assert WEAR in stage.live()

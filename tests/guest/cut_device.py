"""Makes the device whose power is cut, on the guest's own disk: told by cuts.sh. Runs in the guest."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.catalogue.load import load_catalogue
from agent.cli.bench.device import SOCKETCAN, BusChoice, Device, make_credentials, prepare_state, write_config
from agent.consent.choice import Choice

CATALOGUE = Path(__file__).with_name("cuts_catalogue")
BROKER_URL = "mqtts://127.0.0.1:1"
"""Nobody is there, so every record stays."""


def main(folder: Path) -> None:
    """Keys, certificates, settings and the driver's grants, as of a car that was handed over."""
    folder.mkdir(exist_ok=True)
    catalogue = load_catalogue(CATALOGUE)
    device = Device(folder, ram=Path("/run"), broker_url=BROKER_URL)
    make_credentials(device, catalogue)
    write_config(device, BusChoice(interface=SOCKETCAN, channel="vcan0"), "basic", CATALOGUE, call=" ")
    prepare_state(device, catalogue, Choice(True, None))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Credentials made once for a run of these tests."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agent.mqtt.connection import Access, access
from hw.bench.authority import Authority, Credential


@dataclass(frozen=True, slots=True)
class Keys:
    """A CA, the broker's credential, and two of its clients."""

    authority: Authority
    server: Credential
    car: Credential
    fleet: Credential

    def to(self, port: int, host: str = "localhost") -> Access:
        """How the car speaks to the broker at `port`."""
        return access(f"mqtts://{host}:{port}", ca=self.authority.ca, cert=self.car.cert, key=self.car.key)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    authority = Authority(tmp_path_factory.mktemp("keys"))
    return Keys(authority, authority.issue("server", ("localhost", "127.0.0.1")), authority.issue("car-1"), authority.issue("fleet"))

"""What the tests of the buffer store and open with."""

from __future__ import annotations

UNITS = {"Vehicle.Speed": "km/h", "Vehicle.CurrentLocation": "degrees", "Test.Text": "", "Test.Any": "unit"}
CREDENTIAL = b"a credential of the tests, 32 B."

"""CAN: the gate, buses and logs. Importing any of it silences python-can's own log lines: they carry payload bytes."""

import logging

logging.getLogger("can").setLevel(logging.CRITICAL + 1)

"""House limits: numbers that hold whatever a catalogue says, each in one place.

Several parts hold the same limit on purpose (what is checked when a catalogue is loaded is decided again in the plan and held
again where it is stored); they read the number here.
"""

from __future__ import annotations

POSITION_KEEP_S_MAX = 7 * 86_400
"""A position stays at most this long on the device."""
SENSITIVE_TERM_S_MAX = 366 * 86_400
"""A grant of a sensitive item ends within twelve months."""
AROUND_S_MAX = 60.0
"""What is held in memory in case an event comes reaches back no further, and what an event sets off goes on no longer."""
EPSILON_MAX = 1.0
"""Of one randomised answer."""
SILENT_S_MIN = 5.0
"""A frame counts as missing after three periods of whoever asks for it, and after this at the earliest (interfaces: `periodic`)."""

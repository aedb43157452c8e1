"""How much memory this process has needed at most."""

from __future__ import annotations

import re
from pathlib import Path


def peak_rss_kib() -> int:
    """VmHWM of proc(5). Not getrusage's ru_maxrss, which a child inherits from whoever started it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    return int(found[1]) if found else 0

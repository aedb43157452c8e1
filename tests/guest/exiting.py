"""Makes the wheelhouse in a folder one of a release whose core ends at once. Run by units.sh; standard library only."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

folder = Path(sys.argv[1])
[wheel] = folder.glob("modicum-*.whl")
with zipfile.ZipFile(wheel) as whole:
    files = {name: whole.read(name) for name in whole.namelist()}
files["agent/daemons/core.py"] = b"raise SystemExit(1)\n"
with zipfile.ZipFile(wheel, "w") as made:
    for name, content in files.items():
        made.writestr(name, content)
sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.glob("*.whl"))]
(folder / "SHA256SUMS").write_text("".join(sums))

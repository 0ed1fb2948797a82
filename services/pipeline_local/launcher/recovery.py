"""Mends what a kill -9 can leave in the objects' folder; runs before ministack loads it, and only after a kill.

ministack writes an object's bytes, then its record beside them (``<file>.meta.json``). Killed in between, it would load
new bytes with the old record, or bytes of a key whose name only the record tells. Neither write was answered yet, so
either outcome is right for the client, as long as bytes, size and ETag belong together.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Final

_RECORD: Final = ".meta.json"
_HASHED_NAME: Final = "sha256-"


class CleanShutdown:
    """A file that is there while the server runs; found at the start, the last run was killed."""

    def __init__(self, folder: Path) -> None:
        self._mark = folder / "running"
        self.was_killed = self._mark.exists()

    def begin(self) -> None:
        """Note that the server runs."""
        self._mark.touch()

    def end(self) -> None:
        """Note that it ended as it should."""
        self._mark.unlink(missing_ok=True)


def mend(objects: Path) -> None:
    """Remove half-written files, and rewrite records that are older than their bytes."""
    for folder, _, names in os.walk(objects):
        for name in names:
            file = Path(folder) / name
            if name.endswith(".tmp"):
                file.unlink()
            elif not name.endswith(_RECORD):
                _mend_object(file)


def _mend_object(file: Path) -> None:
    record_file = file.with_name(file.name + _RECORD)
    if not record_file.exists():
        if file.name.startswith(_HASHED_NAME):
            file.unlink()
        return
    if file.stat().st_mtime_ns <= record_file.stat().st_mtime_ns:
        return
    record = json.loads(record_file.read_text())
    body = file.read_bytes()
    record |= {"size": len(body), "etag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"', "checksums": {}}
    draft = record_file.with_name(record_file.name + ".tmp")
    draft.write_text(json.dumps(record))
    draft.replace(record_file)

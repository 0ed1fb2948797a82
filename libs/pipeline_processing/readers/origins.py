"""A file on disk that can be opened anew: the one that was given, or what was packed in it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_core.errors import InvalidData
from pipeline_processing.readers.streams import BLOCK

if TYPE_CHECKING:
    from pipeline_processing.readers.streams import Source

UNPACKED_LIMIT: Final = 4 * 1024**3
"""Bytes of a packed workbook or Parquet file, which must lie on disk to be read."""


@dataclass(slots=True)
class Origin:
    """Where a file's bytes are. ``name`` is for messages; `close` removes what was unpacked."""

    path: Path
    name: str
    compression: str | None = None
    member: str | None = None
    notes: tuple[str, ...] = ()
    folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Remove what was unpacked."""
        if self.folder is not None:
            self.folder.cleanup()


def unpack(source: Source, path: Path, name: str) -> Origin:
    """Return the origin of what ``source`` reads: ``path`` itself, or a temporary file where it is packed."""
    if source.compression is None:
        return Origin(path, name, notes=tuple(source.notes))
    folder = tempfile.TemporaryDirectory(prefix="pipeline-")
    target = Path(folder.name) / "unpacked"
    try:
        _write(source, target, name)
    except BaseException:
        folder.cleanup()
        raise
    return Origin(target, name, source.compression, source.member, tuple(source.notes), folder)


def _write(source: Source, target: Path, name: str) -> None:
    written = 0
    with target.open("wb") as file:
        while piece := source.read(BLOCK):
            written += file.write(piece)
            if written > UNPACKED_LIMIT:
                raise InvalidData(f"{name}: unpacks to more than {UNPACKED_LIMIT} bytes")

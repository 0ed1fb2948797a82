"""Whether a Parquet file can be read at all, found out in a process of its own: a damaged one can end the process.

A Parquet footer has no checksum, and what it says is believed and allocated. `python -m
pipeline_processing.readers.parquet_probe FILE` reads the file once and throws the rows away.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from etl_core.errors import InvalidData
from pipeline_processing.contracts.model import Format
from pipeline_processing.readers.apart import BAD_INPUT, limit_memory, run_apart
from pipeline_processing.readers.origins import Origin
from pipeline_processing.readers.parquet_rows import ParquetRows

ADDRESS_SPACE: Final = 4 * 1024**3
SECONDS: Final = 3600


def probe(path: Path, name: str) -> None:
    """Raise InvalidData where reading ``path`` fails, crashes or takes too much memory; ``name`` is for messages."""
    run_apart(__name__, str(path), seconds=SECONDS, fault=f"{name}: a Parquet file that can not be read")


def main(argv: list[str]) -> int:
    """Read the file that is named to its end; `BAD_INPUT` where that can not be."""
    limit_memory(ADDRESS_SPACE)
    path = Path(argv[0])
    try:
        for _ in ParquetRows(Origin(path, path.name), Format()):
            pass
    except (InvalidData, MemoryError):
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The cells of one sheet as texts, by calamine, in a process of its own that may crash.

Calamine believes what a file says of its size and allocates it, and what can not be allocated ends the process; so do
two cells at a sheet's far corners, as it holds all that is between. `python -m pipeline_processing.readers.cells FILE
NAME SHEET TARGET` is that process.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.readers.apart import BAD_INPUT, limit_memory, run_apart
from pipeline_processing.readers.dialects import COLUMNS_LIMIT
from pipeline_processing.readers.guarded import reading

ADDRESS_SPACE: Final = 2 * 1024**3
SECONDS: Final = 300
CELLS_LIMIT: Final = 20_000_000
"""Cells between a sheet's corners."""
_WHAT: Final = "a workbook"


@dataclass(frozen=True, slots=True)
class SheetCells:
    """``frame`` holds the sheet from its first row on; ``others`` are the workbook's other sheets."""

    sheet: str
    others: tuple[str, ...]
    frame: pl.DataFrame


def read_sheet(path: Path, name: str, wanted: str | int | None) -> SheetCells:
    """Return the wanted sheet's cells, by its name or its number from 1; else those of the first that has any.

    ``name`` is the file's for messages. Raises InvalidData, and ConfigError where there is no such sheet.
    """
    import fastexcel  # noqa: PLC0415 - costs 50 ms, and most files are no workbooks

    with reading(name, _WHAT, fastexcel.FastExcelError):
        book = fastexcel.read_excel(path.read_bytes())  # by a path it would believe the extension
        names: list[str] = list(book.sheet_names)
        if not names:
            raise InvalidData(f"{name}: a workbook without sheets")
        for sheet in _choices(names, wanted, name):
            frame = _cells(book, sheet, name)
            if frame.width:
                return SheetCells(sheet, tuple(other for other in names if other != sheet), frame)
    raise InvalidData(f"{name}: the sheet is empty" if wanted is not None else f"{name}: the file is empty")


def read_sheet_apart(path: Path, name: str, wanted: str | int | None) -> SheetCells:
    """Do the same in a process whose memory and time are limited; InvalidData where it does not come through."""
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        target = Path(folder) / "cells.arrow"
        arguments = (str(path), name, json.dumps(wanted), str(target))
        fault = f"{name}: {_WHAT} that can not be read"
        answer = json.loads(run_apart(__name__, *arguments, seconds=SECONDS, fault=fault))
        if "invalid" in answer:
            raise InvalidData(answer["invalid"])
        if "config" in answer:
            raise ConfigError(answer["config"], where="format", way_out=answer["way_out"])
        frame = pl.read_ipc(target)
    return SheetCells(answer["sheet"], tuple(answer["others"]), frame)


def _choices(names: list[str], wanted: str | int | None, name: str) -> list[str]:
    if wanted is None:
        return names
    if isinstance(wanted, int) and 1 <= wanted <= len(names):
        return [names[wanted - 1]]
    if wanted in names:
        return [str(wanted)]
    shown = ", ".join(names[:10])
    raise ConfigError(f"no sheet {wanted} in {name}", where="format", way_out=f"it has {shown}")


def _cells(book: Any, sheet: str, name: str) -> pl.DataFrame:  # noqa: ANN401 - fastexcel is not typed
    loaded = book.load_sheet(sheet, header_row=None, skip_rows=0, dtypes="string")
    if loaded.width > COLUMNS_LIMIT:
        raise InvalidData(f"{name}: {loaded.width} columns; at most {COLUMNS_LIMIT}")
    if loaded.width * loaded.height > CELLS_LIMIT:
        raise InvalidData(f"{name}: a sheet of {loaded.width} by {loaded.height} cells; at most {CELLS_LIMIT}")
    frame: pl.DataFrame = loaded.to_polars()
    return frame


def main(argv: list[str]) -> int:
    """Write the cells of one sheet to a file, and print which it was; or what is wrong."""
    path, name, wanted, target = argv
    limit_memory(ADDRESS_SPACE)
    try:
        cells = read_sheet(Path(path), name, json.loads(wanted))
    except InvalidData as error:
        answer: dict[str, Any] = {"invalid": str(error)}
    except ConfigError as error:
        answer = {"config": error.what, "way_out": error.way_out}
    except MemoryError:
        return BAD_INPUT
    else:
        cells.frame.write_ipc(target)
        answer = {"sheet": cells.sheet, "others": cells.others}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Quarantined rows on their way to a spreadsheet and back, as CSV or Parquet.

What comes back is compared with what went out, cell by cell: a cell that still reads as it was written is no edit, so
that nulls, empty texts and tokens of protected columns come through as they were. Messages name rows and columns, and
no values (law 13).
"""

from __future__ import annotations

import csv
import re
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import orjson
import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.transforms.headers import match, sources_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.model import Json

FIRST: Final = ("quarantine_id", "source_file", "source_row", "line")
LAST: Final = ("record", "rules", "reason")
"""Columns of ours on either side of the row's own; only the row's own are read back. ``record`` is no row's text."""
EDITS: Final = pl.Schema({"quarantine_id": pl.String(), "edits": pl.String()})
"""``edits`` is a JSON object, the new texts (null = empty) by header name; null where nothing was changed."""
_OURS: Final = frozenset({*FIRST, *LAST})
_ASIDE: Final = "raw."
_TOKEN: Final = re.compile(r"tok_[0-9a-f]{32}|[0-9a-f]{64}")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_TOLD: Final = 5
"""Faults of a file that are told at once."""
_DELIMITERS: Final = ",;\t"


def export(rows: pl.DataFrame, path: Path, *, contract: Contract | None = None) -> int:
    """Write ``rows`` (of the quarantine's schema) to ``path``, readable by its owner alone; return how many.

    With a ``contract`` there are columns to fill in for records that are no rows, too. What was at ``path`` stays as it
    was until all of it is written: ConfigError, and nothing is changed, for another ending or where it can not be.
    """
    kind = _kind(path, where="--export")
    own = [*headers_of(rows), *(names_to_fill(rows, contract) if contract else ())]
    columns = [*FIRST, *map(_outer, own), *LAST]
    lines = (_line(row, columns) for row in rows.iter_rows(named=True))
    try:
        with _replacing(path) as file:
            if kind == "parquet":
                pl.DataFrame(list(lines), schema=dict.fromkeys(columns, pl.String()), orient="row").write_parquet(file)
            else:
                _write_csv(columns, lines, file.fileno())
    except OSError as error:
        raise ConfigError(f"{path} can not be written: {error.strerror}", where="--export") from error
    return rows.height


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a file beside ``path``, its owner's alone, that takes its place at the end; gone where that never comes."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file.file
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise


def headers_of(rows: pl.DataFrame) -> list[str]:
    """Return the header names of the rows' own columns, in the order in which they first appear."""
    names: dict[str, None] = {}
    for raw in rows["raw"].drop_nulls():
        names |= dict.fromkeys(orjson.loads(raw))
    return list(names)


def names_to_fill(rows: pl.DataFrame, contract: Contract) -> list[str]:
    """Return a name for each column of the contract that no row has and a record that is no row may be given."""
    if not rows["raw"].null_count():
        return []
    there = match(contract.columns, headers_of(rows))
    return [sources[0] for column in contract.columns if column.name not in there and (sources := sources_of(column))]


def ids_of(edited: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the ids that an edited file names; ConfigError where it has none, or names one twice or wrongly."""
    where: dict[str, int] = {}
    faults: list[str] = []
    for number, line in enumerate(edited, start=1):
        found = line["quarantine_id"]
        if not _ID.fullmatch(found):
            faults.append(f"row {number}: its quarantine_id is none")
        elif found in where:
            faults.append(f"row {number}: it has the quarantine_id of row {where[found]}")
        where.setdefault(found, number)
    _refuse(faults, way_out="leave the column quarantine_id as it was exported, one row each")
    return list(where)


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of an edited file, every cell as text; ConfigError where it is no such file."""
    try:
        lines = _read_parquet(path) if _kind(path, where="--edited") == "parquet" else _read_csv(path)
    except (OSError, UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as error:
        raise ConfigError(
            f"{path} can not be read: {type(error).__name__}",
            where="--edited",
            way_out="save it as UTF-8 CSV or Parquet",
        ) from error
    if not lines:
        raise ConfigError(f"{path} has no rows", where="--edited", way_out="keep the rows that you mended")
    return lines


def compare(edited: Sequence[Mapping[str, str]], rows: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Return what was edited (`EDITS`), a row for each of ``edited``; ``rows`` are the open ones of its ids.

    ConfigError for a row that is not among ``rows``, that lacks a column, has a value in one that its file does not
    have, or another row's token.
    """
    kept = {row["quarantine_id"]: row for row in rows.iter_rows(named=True)}
    known = {*headers_of(rows), *names_to_fill(rows, contract)}
    protected = protected_in(contract, list(known))
    faults: list[str] = []
    if strange := [name for name in edited[0] if name not in _OURS and _inner(name) not in known]:
        faults.append(f"no exported row has the column {', '.join(map(repr, strange[:_TOLD]))}")
    found: list[tuple[str, str | None]] = []
    for number, line in enumerate(edited, start=1):
        row = kept.get(line["quarantine_id"])
        fault = _fault_of(line, row)
        if row is None or fault:
            faults.append(f"row {number}: {fault}")
            continue
        edits = _edits(line, row)
        if copied := [name for name, text in edits.items() if name in protected and _TOKEN.fullmatch(text or "")]:
            faults.append(f"row {number}: column {copied[0]!r} has another row's token, which nobody can read back")
        found.append((row["quarantine_id"], orjson.dumps(edits).decode() if edits else None))
    _refuse(faults, way_out="export the rows again and edit only their own columns")
    return pl.DataFrame(found, schema=EDITS, orient="row")


def protected_in(contract: Contract, header: Sequence[str]) -> frozenset[str]:
    """Return the names of ``header`` from which protected columns are read."""
    names = match(contract.columns, header)
    return frozenset(names[c.name] for c in contract.columns if c.protection is not None and c.name in names)


def _fault_of(line: Mapping[str, str], row: Mapping[str, Json] | None) -> str | None:
    """Return what is wrong with an edited row as a whole."""
    if row is None:
        return f"quarantine_id {line['quarantine_id']} is not in quarantine, or no longer open"
    if lineage := [name for name in ("source_file", "source_row") if name in line and line[name] != str(row[name])]:
        return f"its quarantine_id is another row's, or its {lineage[0]} was changed"
    raw = orjson.loads(row["raw"]) if row["raw"] is not None else None
    if raw is None:
        return None
    if lacking := [name for name in raw if _outer(name) not in line]:
        return f"the column {lacking[0]!r} is missing"
    for name, text in line.items():
        if text and name not in _OURS and _inner(name) not in raw:
            return f"its file has no column {_inner(name)!r}"
    return None


def _edits(line: Mapping[str, str], row: Mapping[str, Json]) -> dict[str, str | None]:
    """Return the cells that differ from what was written; of a record that is no row, all that are filled in."""
    raw = orjson.loads(row["raw"]) if row["raw"] is not None else {}
    own = {_inner(name): text for name, text in line.items() if name not in _OURS}
    return {name: text or None for name, text in own.items() if text != _cell(raw.get(name))}


def _line(row: Mapping[str, Json], columns: Sequence[str]) -> list[str]:
    raw = orjson.loads(row["raw"]) if row["raw"] is not None else {}
    record = row["raw_bytes"]
    ours = {
        **{name: str(row[name]) for name in FIRST},
        "record": "" if record is None else record.decode("utf-8", "backslashreplace"),
        "rules": "; ".join(row["rules"]),
        "reason": row["reason"] or "",
    }
    return [ours[name] if name in _OURS else _cell(raw.get(_inner(name))) for name in columns]


def _cell(value: Json) -> str:
    return "" if value is None else str(value)


def _outer(header: str) -> str:
    """Return the column of a header name: itself, but for one that could be taken for ours."""
    return _ASIDE + header if header in _OURS or header.startswith(_ASIDE) else header


def _inner(column: str) -> str:
    return column.removeprefix(_ASIDE)


def _kind(path: Path, *, where: str) -> str:
    kind = path.suffix.lower().removeprefix(".")
    if kind not in {"csv", "parquet"}:
        raise ConfigError(f"{path} is neither .csv nor .parquet", where=where, way_out="name one that ends so")
    return kind


def _write_csv(columns: Sequence[str], lines: Iterator[list[str]], descriptor: int) -> None:
    # The byte order mark tells spreadsheets that it is UTF-8.
    with open(descriptor, "w", encoding="utf-8-sig", newline="", closefd=False) as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(lines)


def _read_csv(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(_DELIMITERS, key=first.count)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = next(reader, [])
        _check_header(header)
        lines: list[dict[str, str]] = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ConfigError(
                    f"row {len(lines) + 1} has {len(cells)} cells where the header has {len(header)}", where="--edited"
                )
            lines.append(dict(zip(header, cells, strict=True)))
        return lines


def _read_parquet(path: Path) -> list[dict[str, str]]:
    frame = pl.read_parquet(path)
    _check_header(frame.columns)
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype == pl.Binary]
    if nested:
        raise ConfigError(f"column {nested[0]!r} is no text", where="--edited", way_out="keep the columns' types")
    lines: list[dict[str, str]] = frame.select(pl.all().cast(pl.String).fill_null("")).to_dicts()
    return lines


def _check_header(header: Sequence[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ConfigError(f"two columns are called {twice[0]!r}", where="--edited")
    if "quarantine_id" not in header:
        raise ConfigError(
            "the column 'quarantine_id' is missing", where="--edited", way_out="edit a file that --export wrote"
        )


def _refuse(faults: Sequence[str], *, way_out: str) -> None:
    if faults:
        more = f"; and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
        raise ConfigError("; ".join(faults[:_TOLD]) + more, where="--edited", way_out=way_out)

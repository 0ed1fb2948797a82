"""What `validate` and `profile` have in common: one local file, refined in a temporary folder, with no cluster."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl

from etl_core.clock import SystemClock
from etl_core.errors import ConfigError
from etl_core.settings import load as load_settings
from pipeline_processing import __version__
from pipeline_processing.processors.refining.refine import refine
from pipeline_processing.reports.quality_facts import QualityPage, Reason, Stranger
from pipeline_processing.reports.quality_rules import asked_of
from pipeline_processing.settings import Settings
from pipeline_processing.transforms.headers import match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.processors.refining.refined import Refined

EXAMPLES: Final = 20
"""Row numbers kept for each rule."""
STRANGERS: Final = 20
"""Values that are not allowed, told of each column."""
_THROWAWAY: Final = b"a key for rows that are thrown away"
"""Stands in for the token key where no output is kept."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as the user named it, and what it is refined with."""

    path: Path
    contract: Contract
    agency_id: str = "local"
    references: Mapping[str, pl.DataFrame] | None = None


@contextmanager
def refined(file: LocalFile, *, keep: Path | None = None) -> Iterator[Refined]:
    """Give what became of the file; its outputs are gone afterwards, unless they are to be kept in ``keep``.

    ConfigError for a path that can not be read, and where protected columns would be kept without the product's key.
    """
    check_source(file.path, where="FILE")
    size = file.path.stat().st_size
    with tempfile.TemporaryDirectory(prefix="refine-") as name, _progress(file.path.name) as tell:
        yield refine(
            file.path,
            file.contract,
            into=keep or Path(name) / "refined",
            source=file.path.name,
            source_version=f"{size}",
            agency_id=file.agency_id,
            references=file.references,
            token_key=_token_key(file.contract, is_kept=keep is not None),
            today=SystemClock().now().date(),
            footer=_footer(file),
            on_progress=tell,
        )


def check_source(path: Path, *, where: str) -> None:
    """ConfigError for a path that is no ordinary file, or that can not be read."""
    what = "is not there"
    try:
        if path.is_file():
            path.open("rb").close()
            return
        if path.exists():
            what = "is a folder" if path.is_dir() else "is no ordinary file"
    except OSError as error:
        what = f"can not be read: {error.strerror}"
    raise ConfigError(f"{path} {what}", where=where, way_out="name one file")


def page_of(file: LocalFile, refined: Refined) -> QualityPage:
    """Return the file's quality as reports show it."""
    contract, dialect = file.contract, refined.dialect
    facts = {
        "format": ", ".join(filter(None, (dialect.kind, dialect.compression, dialect.encoding))),
        "delimiter": repr(dialect.delimiter) if dialect.delimiter else "",
        "sheet": dialect.sheet or "",
        "remarks": "; ".join(dialect.notes),
        "size": f"{file.path.stat().st_size:,} bytes",
        "checked with": f"pipeline-processing {__version__}",
    }
    return QualityPage(
        file=file.path.name,
        dataset=contract.dataset,
        contract=f"{contract.id} {contract.version}",
        verdict=refined.verdict,
        rows_in=refined.rows_in,
        rows_out=refined.rows_out,
        quarantined=refined.quarantined,
        deduplicated=refined.deduplicated,
        profile=refined.profile,
        reasons=_reasons(contract, refined),
        facts={name: text for name, text in facts.items() if text},
        skipped=refined.skipped,
        missing=refined.missing,
        unread=refined.unread,
        strangers=_strangers(refined),
        asked=asked_of(contract),
        place="sheet row" if dialect.kind in {"xlsx", "xls"} else "line",
        classified=frozenset(column.name for column in contract.columns if column.is_classified),
        descriptions={column.name: column.description for column in contract.columns if column.description},
    )


def _strangers(refined: Refined) -> dict[str, list[Stranger]]:
    """Return the values that are not allowed, by column; what is beyond the most frequent ones as one."""
    found: dict[str, list[Stranger]] = {}
    for one in refined.suggestions:
        found.setdefault(one.column, []).append(Stranger(one.value, one.count, one.nearest))
    return {column: _most(all_of_it) for column, all_of_it in found.items()}


def _most(strangers: Sequence[Stranger]) -> list[Stranger]:
    shown = [one for one in strangers if one.value is not None][:STRANGERS]
    rest = sum(one.rows for one in strangers) - sum(one.rows for one in shown)
    return [*shown, Stranger(None, rest)] if rest else shown


def _reasons(contract: Contract, refined: Refined) -> list[Reason]:
    if refined.quarantine is None:
        return []
    rows = pl.scan_parquet(refined.quarantine).select("rules", "source_row", "line", "raw").explode("rules")
    first = pl.all().sort_by("source_row").head(EXAMPLES)
    found = rows.group_by("rules").agg(first).collect(engine="streaming").rows_by_key("rules", named=True, unique=True)
    columns = {check.name: check.column for check in contract.checks}
    has_lines = refined.dialect.kind != "parquet"
    return [
        Reason(
            rule,
            count,
            found[rule]["source_row"],
            found[rule]["line"] if has_lines else (),
            _values(contract, columns.get(rule), found[rule]["raw"]),
            columns.get(rule),
        )
        for rule, count in refined.quarantined_by.items()
    ]


def _values(contract: Contract, name: str | None, raws: Sequence[str | None]) -> list[str]:
    """Return what stands in the column of some raw rows, each value once; nothing of a classified column."""
    if name is None or contract.column(name).is_classified or contract.column(name).protection:
        return []
    rows = [orjson.loads(raw) for raw in raws if raw]
    header = match(contract.columns, list(rows[0])).get(name) if rows else None
    return list(dict.fromkeys(str(row[header] or "") for row in rows)) if header else []


def _token_key(contract: Contract, *, is_kept: bool) -> bytes | None:
    if all(column.protection is None for column in contract.columns):
        return None
    key = load_settings(Settings).token_key
    if key is None and is_kept:
        return None
    return key.get_secret_value().encode() if key else _THROWAWAY


def _footer(file: LocalFile) -> dict[str, str]:
    return {
        "pipeline.run": "local",
        "pipeline.contract": f"{file.contract.id} {file.contract.version}",
        "pipeline.contract_fingerprint": file.contract.fingerprint,
        "pipeline.code_version": __version__,
        "pipeline.source": file.path.name,
    }


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int], None] | None]:
    """Show how many rows went in, where somebody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe needs none of it
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - the same

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda rows: bar.update(task, description=f"{name}: {rows:,} rows")

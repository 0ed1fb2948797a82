"""One file from bronze to silver: read, normalised, checked, profiled, deduplicated and written, all on local disk.

The first pass takes the file batch by batch, so that memory is a batch's: rows that fail a check go to quarantine, the
others to staging. What needs the whole file (duplicates, keys, intervals) is found on staging; the last pass writes the
rows that stay. The same file, contract, references, day and code give the same bytes.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from etl_core.errors import Permanent
from pipeline_processing.contracts.model import LINEAGE
from pipeline_processing.contracts.types import polars_type
from pipeline_processing.processors.refining.dedupe import KeyIndex
from pipeline_processing.processors.refining.quarantine_file import Origin, QuarantineFile
from pipeline_processing.processors.refining.refined import NAMES_TOLD, Refined
from pipeline_processing.processors.refining.silver_file import Shape, write
from pipeline_processing.processors.refining.staging import Staging
from pipeline_processing.quality.checks import compile_checks
from pipeline_processing.quality.profile import Profiler
from pipeline_processing.quality.verdict import STATUSES
from pipeline_processing.readers import LINE, ROW, Batch
from pipeline_processing.readers.open_file import open_file
from pipeline_processing.transforms.headers import sources_of
from pipeline_processing.transforms.plan import compile_plan

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    import numpy.typing as npt

    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.quality.checks import Checks
    from pipeline_processing.quality.verdict import Verdict
    from pipeline_processing.readers import Rows
    from pipeline_processing.transforms.plan import Plan


class Interrupted(Exception):  # noqa: N818 - reads as what it is where it is raised
    """The caller's ``stop`` was set: nothing of the file counts."""


def refine(
    path: Path,
    contract: Contract,
    *,
    into: Path,
    source: str,
    source_version: str,
    agency_id: str,
    references: Mapping[str, pl.DataFrame] | None = None,
    token_key: bytes | None = None,
    today: date,
    footer: Mapping[str, str],
    on_progress: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
    opened: Callable[[Path, Contract], Rows] | None = None,
) -> Refined:
    """Refine the file at ``path`` into the folder ``into``, which must not exist.

    ``on_progress`` hears after each batch how many rows went in; ``opened`` gives the rows, or some of them, each
    time they are read. InvalidData where the file can not be read or falls into too many partitions, ConfigError where
    the contract asks for what is not given, Interrupted after ``stop``.
    """

    def heed() -> None:
        if stop is not None and stop.is_set():
            raise Interrupted

    heed()
    scratch = into / "scratch"
    scratch.mkdir(parents=True)
    origin, opened = Origin(source, source_version, agency_id), opened or open_rows
    with ExitStack() as leaving:
        leaving.callback(shutil.rmtree, scratch)
        with opened(path, contract) as rows:
            plan = compile_plan(
                contract,
                rows.header,
                agency_id=agency_id,
                source=source,
                source_version=source_version,
                references=references,
                token_key=token_key,
            )
            checks = compile_checks(contract, missing=plan.missing, today=today)
            work = _Work(contract, plan, checks, header=rows.header, scratch=scratch, origin=origin, heed=heed)
            leaving.callback(work.close)
            for batch in rows:
                heed()
                work.take(batch)
                if on_progress is not None:
                    on_progress(work.rows_in)
        if opened is open_rows:
            work.check_numbers()
        work.deduplicate()
        work.check_whole_file(path, opened)
        return work.result(into, footer, rows)


class _Work:
    """What is found out about one file, and what of it is on disk."""

    def __init__(
        self,
        contract: Contract,
        plan: Plan,
        checks: Checks,
        *,
        header: Sequence[str],
        scratch: Path,
        origin: Origin,
        heed: Callable[[], None],
    ) -> None:
        self._contract, self._plan, self._checks, self._origin = contract, plan, checks, origin
        self._heed = heed
        """Raises where the work is to stop."""
        self._staging = Staging(scratch / "rows", heed=heed)
        self._quarantine = QuarantineFile(scratch / "quarantine", contract, origin)
        rule = contract.dedupe
        self._keyless = [name for name in rule.key if name in plan.missing] if rule else []
        self._keys = KeyIndex(scratch / "keys", rule, heed=heed) if rule and not self._keyless else None
        self._profiler = Profiler([(c.name, polars_type(c), c.is_classified) for c in contract.columns])
        self._gone: npt.NDArray[np.bool_] | None = None
        """By position in staging: the rows that do not go to silver."""
        self.rows_in = self._deduplicated = self._numbers = 0
        local = {mask.meta.output_name() for mask in checks.masks}
        self._quarantining = [name for name in checks.quarantining if name in local]
        self._header = header
        self._is_protected = any(column.protection is not None for column in contract.columns)
        self._constants = dict(zip(LINEAGE, (origin.agency_id, origin.source, origin.source_version), strict=False))
        empty = pl.DataFrame(schema={**dict.fromkeys(header, pl.String()), ROW: pl.UInt64(), LINE: pl.UInt64()})
        self.take(Batch(empty))  # so that staging knows its columns, whatever the file holds

    def close(self) -> None:
        """Close the files that are open."""
        if self._keys is not None:
            self._keys.close()

    def take(self, batch: Batch) -> None:
        """Take the next records in: to quarantine or to staging."""
        self.rows_in += batch.frame.height + len(batch.rejects)
        self._numbers += int(batch.frame[ROW].sum()) + sum(reject.row for reject in batch.rejects)
        self._quarantine.add_rejects(batch.rejects)
        typed = self._plan.normalise(batch.frame)
        masked = self._checks.masked(typed)
        self._checks.observe(masked)
        if self._quarantining:
            fails = masked.select(pl.any_horizontal(self._quarantining)).to_series()
            if fails.any():
                rules = masked.lazy().filter(fails).select(_failed(self._quarantining)).collect().to_series()
                self._quarantine.add_rows(self._raw(batch.frame.filter(fails)), rules)
                typed = typed.filter(~fails)
        self._profiler.update(typed)
        staged = self._plan.finish(typed).drop(*self._constants)
        self._staging.add(staged)
        if self._keys is not None:
            self._keys.add(staged)

    def check_numbers(self) -> None:
        """Permanent where the reader gave a record twice, or left one out: it numbers them from 1 without a gap."""
        if self._numbers != self.rows_in * (self.rows_in + 1) // 2:
            raise Permanent(f"the reader lost or made records: the numbers of {self.rows_in} do not add up")

    def deduplicate(self) -> None:
        """Find the rows that another one of the same key takes out."""
        if self._keys is not None:
            self._gone = self._keys.losers(self._staging)
            self._deduplicated = 0 if self._gone is None else int(self._gone.sum())

    def check_whole_file(self, path: Path, opened: Callable[[Path, Contract], Rows]) -> None:
        """Make the checks that need all rows on those that are left; quarantine what fails one that asks for it."""
        self._heed()
        found = self._checks.whole_file(self._left(), heed=self._heed)
        failing = found.filter(pl.col("check").cast(pl.String).is_in(self._checks.quarantining))
        if failing.height:
            rules = failing.group_by(ROW).agg(pl.col("check").cast(pl.String).alias("?rules")).sort(ROW)
            self._take_out(rules[ROW])
            with opened(path, self._contract) as rows:
                self._quarantine_again(rows, rules)
        self._checks.measure(self._left(), heed=self._heed)

    def result(self, into: Path, footer: Mapping[str, str], rows: Rows) -> Refined:
        """Write the rows that are left and the quarantine, and return the whole account."""
        shape = Shape(
            self._contract.partition_by,
            self._constants,
            {*LINEAGE, *(c.name for c in self._contract.columns if not c.is_classified and c.protection is None)},
            footer,
        )
        outputs = write(self._staging.scan(self._gone), into, shape, heed=self._heed)
        self._heed()
        quarantined = self._quarantine.rows
        return Refined(
            folder=into,
            rows_in=self.rows_in,
            rows_out=self._staging.rows - (0 if self._gone is None else int(self._gone.sum())),
            quarantined=quarantined,
            deduplicated=self._deduplicated,
            verdict=self._verdict(quarantined),
            profile=self._profiler.result(),
            outputs=outputs,
            quarantine=self._quarantine.write(into / "quarantine.parquet", footer),
            quarantined_by=dict(sorted(self._quarantine.by_rule.items())),
            dialect=rows.dialect,
            skipped=dict(rows.skipped),
            missing=self._plan.missing,
            unread=self._unread,
            suggestions=self._plan.suggestions(),
        )

    def _verdict(self, quarantined: int) -> Verdict:
        """Return the verdict of the checks, or *fail_file* where the file's columns are not what the contract needs."""
        verdict = self._checks.verdict(rows=self.rows_in, quarantined=quarantined)
        faults = [f"the dedupe key's column {name} is missing" for name in self._keyless]  # else all keys look equal
        if self._contract.unknown_columns == "fail_file" and self._plan.unread:
            named = ", ".join(self._unread[:NAMES_TOLD]) or f"all {len(self._plan.unread)}"
            faults.append(f"columns that the contract does not know: {named}")
        if not faults:
            return verdict
        status = max(verdict.status, "fail_file", key=STATUSES.index)
        return replace(verdict, status=status, because=(*faults, *verdict.because), files={status: 1})

    @property
    def _unread(self) -> tuple[str, ...]:
        """Return the unknown names of the header, if it is one: where no name in it is known it may be a row."""
        return self._plan.unread if self._plan.sources else ()

    def _left(self) -> pl.LazyFrame:
        """Return the rows that are left, as checks read them."""
        return self._staging.scan(self._gone).with_columns(pl.col(LINEAGE[-1]).cast(pl.UInt64).alias(ROW))

    def _take_out(self, failing: pl.Series) -> None:
        """Mark rows as gone by their numbers, which ascend in ``failing`` as they do in staging."""
        gone = np.zeros(self._staging.rows, dtype=np.bool_) if self._gone is None else self._gone
        for start, frame in self._staging.frames([LINEAGE[-1]]):
            numbers = frame[LINEAGE[-1]].cast(pl.UInt64)
            near = failing[_between(failing, numbers)]
            gone[start : start + frame.height] |= numbers.is_in(near.implode()).to_numpy()
        self._gone = gone

    def _quarantine_again(self, rows: Rows, rules: pl.DataFrame) -> None:
        """Quarantine rows by their numbers: staging has no raw rows, so the file is read once more."""
        for batch in rows:
            self._heed()
            wanted = rules[_between(rules[ROW], batch.frame[ROW])]
            if wanted.height:
                chosen = batch.frame.join(wanted, on=ROW, how="inner", maintain_order="left")
                self._quarantine.add_rows(self._raw(chosen), chosen["?rules"])

    def _raw(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the reader's rows as quarantine may show them.

        Where the contract protects a column, those that it does not read go: one may hold the same values under
        another name.
        """
        names = self._plan.sources.values() if self._is_protected else self._header
        return self._plan.protect_raw(rows.select(*dict.fromkeys(names), ROW, LINE))


def open_rows(path: Path, contract: Contract) -> Rows:
    """Open the file at ``path`` as the contract says."""
    read = [name for column in contract.columns for name in sources_of(column)]
    names = contract.format.names or [column.name for column in contract.columns if sources_of(column)]
    return open_file(path, contract.format, columns=names, expected=read)


def _between(numbers: pl.Series, others: pl.Series) -> slice:
    """Return which of ``numbers`` lie between the ends of ``others``; both ascend."""
    if others.is_empty():
        return slice(0, 0)
    return slice(numbers.search_sorted(others[0], side="left"), numbers.search_sorted(others[-1], side="right"))


def _failed(names: Sequence[str]) -> pl.Expr:
    """Return which of the masks ``names`` are True, by name."""
    return pl.concat_list(pl.when(name).then(pl.lit(name)) for name in names).list.drop_nulls().alias("rules")

"""A contract's checks, compiled once and run in the pass of the transform.

How to use them, for one file:

    checks = compile_checks(contract, missing=("rank",), today=today)
    for frame in typed:                                  # contract columns, `_row`, `_line`, fault columns
        masked = checks.masked(frame)                    # one Boolean column a row-local check: True = fails
        checks.observe(masked)
    failing = checks.whole_file(staged)                  # `_row`, `check`: keys and intervals
    checks.measure(staged)                               # SQL, duplicateValues
    verdict = checks.verdict(rows=rows, quarantined=quarantined)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError, check_all
from pipeline_processing.contracts.model import FIGURE_KINDS, LOCAL_KINDS, ROW_KINDS, WHOLE_KINDS
from pipeline_processing.quality import figures, masks
from pipeline_processing.quality.verdict import CheckResult, concluded, holds, judged, spelled
from pipeline_processing.quality.whole_file import duplicates, incomplete, overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import date

    from pipeline_processing.contracts.model import Check, Contract
    from pipeline_processing.quality.verdict import Verdict

_PERCENT: Final = 100


@dataclass(slots=True)
class _Tally:
    looked_at: int = 0
    failed: int = 0
    value: float | None = None
    why: str = ""
    """Why it looked at nothing, where it did not."""


def compile_checks(contract: Contract, *, missing: Collection[str] = (), today: date) -> Checks:
    """Return the checks of ``contract`` for one file whose source lacks the columns ``missing``.

    ConfigError, of all faults at once, for expressions, patterns and limits that do not compile, and for a check that
    has a column's name.
    """
    names = frozenset(column.name for column in contract.columns)
    check_all(*(lambda check=check: _refuse(check, contract, names, today) for check in contract.checks))
    return Checks(contract, frozenset(missing), today)


class Checks:
    """The checks of one file: their masks, and what was seen so far. Not to be shared between files."""

    def __init__(self, contract: Contract, missing: frozenset[str], today: date) -> None:
        self._contract, self._missing, self._today = contract, missing, today
        self._rows, self._is_whole = 0, False
        self._tallies = {check.name: _Tally(why=self._unable(check)) for check in contract.checks}
        self._local = tuple(c for c in contract.checks if c.kind in LOCAL_KINDS and not self._tallies[c.name].why)
        self.masks: tuple[pl.Expr, ...] = tuple(masks.mask(c, contract, today=today) for c in self._local)
        """One Boolean expression a row-local check, named after it, True where the row fails; never null."""
        self._figures = tuple(c for c in contract.checks if figures.is_observed(c) and not self._tallies[c.name].why)
        self._counts = tuple(_counts(index, c, today) for index, c in enumerate((*self._local, *self._figures)))

    @property
    def quarantining(self) -> tuple[str, ...]:
        """Return the names of the checks that take their failing rows out, in the contract's order."""
        return tuple(c.name for c in self._contract.checks if c.kind in ROW_KINDS and c.action == "quarantine")

    def masked(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return ``frame`` with the masks as columns; ConfigError where a rule's SQL stumbles over a value.

        The error names the rule and keeps the value to itself, where Polars' own would show it.
        """
        try:
            return frame.with_columns(self.masks)
        except pl.exceptions.PolarsError as error:
            stumbling = [
                check.name for check, mask in zip(self._local, self.masks, strict=True) if _stumbles(mask, frame)
            ]
            if not stumbling:
                raise
            told = type(error).__name__
        raise ConfigError(
            f"the rule stumbles over a value ({told})",
            where=f"{self._contract.id} {self._contract.version}, check {', '.join(stumbling)}",
            way_out="use TRY_CAST instead of CAST",
        )

    def observe(self, masked: pl.DataFrame) -> None:
        """Count, for each check, the rows of ``masked`` that it applies to and those that fail it.

        To be called for every batch, before rows are taken out and before values are protected.
        """
        self._rows += len(masked)
        if not self._counts or masked.is_empty():
            return
        counted = masked.select(*(expr for pair in self._counts for expr in pair)).row(0)
        for index, check in enumerate((*self._local, *self._figures)):
            tally, second = self._tallies[check.name], counted[2 * index + 1]
            tally.looked_at += counted[2 * index]
            if check.kind == "freshness":
                tally.value = min((float(age) for age in (tally.value, second) if age is not None), default=None)
            else:
                tally.failed += second

    def whole_file(self, staged: pl.LazyFrame, *, heed: Callable[[], None] = lambda: None) -> pl.DataFrame:
        """Return `_row` (UInt64) and `check` (Enum) of the rows that fail a unique, primary_key or overlap check.

        ``staged`` has `_row` and the contract's columns. It is scanned once or twice for a check and bucket.
        ``heed`` is called before each check; what it raises ends the work.
        """
        self._is_whole = True
        named = pl.Enum([check.name for check in self._contract.checks])
        found = [pl.DataFrame(schema={"_row": pl.UInt64, "check": named})]
        rows = _length(staged)
        for check in self._contract.checks:
            tally = self._tallies[check.name]
            if check.kind not in WHOLE_KINDS or tally.why:
                continue
            heed()
            failing = self._failing(check, staged, rows)
            tally.looked_at += self._keyed(check, staged)
            tally.failed += len(failing)
            found.append(pl.DataFrame({"_row": failing}).with_columns(pl.lit(check.name, dtype=named).alias("check")))
        return pl.concat(found).sort("_row", "check")

    def measure(self, staged: pl.LazyFrame, *, heed: Callable[[], None] = lambda: None) -> None:
        """Take the figures that need the whole file, over the rows of ``staged``: SQL and duplicateValues.

        ``heed`` is as for `whole_file`.
        """
        rows = _length(staged)
        for check in self._contract.checks:
            tally = self._tallies[check.name]
            if tally.why or not rows:
                continue
            heed()
            if check.kind == "sql":
                tally.value = figures.answer(check, self._contract, staged, today=self._today)
                tally.why = "" if tally.value is not None else "the query gives null"
                tally.looked_at = rows
            elif check.kind == "metric" and figures.metric_of(check) == "duplicateValues":
                tally.looked_at, tally.failed = rows, figures.duplicate_rows(check, staged, rows=rows)

    def verdict(self, *, rows: int, quarantined: int) -> Verdict:
        """Return the verdict on the file: of its ``rows``, rejects included, ``quarantined`` were taken out.

        A check that was not run is skipped, whatever the reason.
        """
        required = {column.name for column in self._contract.columns if column.required}
        return concluded(
            (self._result(check) for check in self._contract.checks),
            rows=rows,
            quarantined=quarantined,
            max_share=self._contract.quarantine.max_share,
            missing=self._missing & (required | set(self._contract.primary_key)),
        )

    def _result(self, check: Check) -> CheckResult:
        tally, action = self._tallies[check.name], _action(check)
        if figures.is_row_count(check):
            tally = _Tally(self._rows, value=float(self._rows))
        why = tally.why or self._nothing(check, tally)
        figure = _figure(check, tally)
        status = "skipped" if why else judged(check, is_holding=_holds(check, tally, figure), action=action)
        return CheckResult(
            name=check.name,
            kind=check.kind,
            status=status,
            column=check.column,
            dimension=check.dimension,
            severity=check.severity,
            action=action,
            looked_at=0 if why else tally.looked_at,
            failed=tally.failed,
            figure=tally.value,
            threshold=spelled(check.threshold),
            why=(why,) if why else (),
            files={status: 1},
            description=check.description,
        )

    def _nothing(self, check: Check, tally: _Tally) -> str:
        if tally.looked_at or figures.is_row_count(check):
            return ""
        if not self._rows:
            return "the file has no rows"
        if check.kind in WHOLE_KINDS and not self._is_whole:
            return "the whole file was not looked at"
        return "no value to look at" if check.kind in ROW_KINDS or figures.is_observed(check) else "it was not measured"

    def _unable(self, check: Check) -> str:
        if check.kind == "text":
            return "for people to check"
        if lacking := sorted(self._missing & self._reads(check)):
            return f"not in the file: {', '.join(lacking)}"
        return ""

    def _reads(self, check: Check) -> frozenset[str]:
        match check.kind:
            case "primary_key":
                return frozenset(self._contract.primary_key)
            case "unique":
                return frozenset(_named(check, "columns") or (check.column or "",))
            case "overlap":
                return frozenset((*_named(check, "by"), *_named(check, "start"), *_named(check, "end")))
            case "metric" | "freshness":
                return figures.columns_of(check)
            case "sql":
                return frozenset(name for name in self._missing if figures.names(check, name))
            case _:
                return masks.reads(check, today=self._today)

    def _failing(self, check: Check, staged: pl.LazyFrame, rows: int) -> pl.Series:
        match check.kind:
            case "overlap":
                return overlaps(
                    staged,
                    _named(check, "by"),
                    *_named(check, "start"),
                    *_named(check, "end"),
                    rows=rows,
                    is_closed=bool(check.arguments.get("closed")),
                )
            case "primary_key":
                key = self._contract.primary_key
                return pl.concat([duplicates(staged, key, rows=rows), incomplete(staged, key)]).sort()
            case _:
                return duplicates(staged, _named(check, "columns") or (check.column or "",), rows=rows)

    def _keyed(self, check: Check, staged: pl.LazyFrame) -> int:
        """Return how many rows a whole-file check applies to: all for a primary key, else those without a null."""
        names = {"unique": self._reads(check), "overlap": {*_named(check, "by"), *_named(check, "start")}}.get(
            check.kind
        )
        kept = staged if names is None else staged.filter(pl.all_horizontal(pl.col(*sorted(names)).is_not_null()))
        return _length(kept)


def _refuse(check: Check, contract: Contract, names: frozenset[str], today: date) -> None:
    where = f"{contract.id} {contract.version}, check {check.name}"
    if check.name in names or check.name.startswith(("_", "?", "^", "*")):
        what = "a check must not have a column's name, nor begin with _ ? ^ or *"
        raise ConfigError(what, where=where, way_out="give it another name")
    if check.column is not None and check.column not in names:
        raise ConfigError(f"no column {check.column!r}", where=where)
    if check.kind in LOCAL_KINDS:
        masks.refuse(check, contract, today=today)
    elif check.kind in FIGURE_KINDS:
        figures.refuse(check, contract)
    elif check.kind == "overlap" and not all(
        set(_named(check, part)) <= names and _named(check, part) for part in ("by", "start", "end")
    ):
        raise ConfigError("overlap needs by, start and end, all columns of the contract", where=where)
    elif check.kind == "primary_key" and not contract.primary_key:
        raise ConfigError("the contract has no primary key", where=where)


def _stumbles(mask: pl.Expr, frame: pl.DataFrame) -> bool:
    try:
        frame.select(mask)
    except pl.exceptions.PolarsError:
        return True
    return False


def _counts(index: int, check: Check, today: date) -> tuple[pl.Expr, pl.Expr]:
    """Return a check's two counts over a masked frame: looked at, failed."""
    if check.kind in LOCAL_KINDS:
        seen, failed = masks.looked_at(check, today=today), pl.col(check.name).sum()
    else:
        seen, failed = figures.observed(check, today=today)
    return seen.alias(f"{index}:looked_at"), failed.alias(f"{index}:failed")


def _action(check: Check) -> str:
    """Return the check's action; a figure has no rows to take out, so *quarantine* is as strong as its severity."""
    if check.action != "quarantine" or check.kind in ROW_KINDS:
        return check.action
    return "fail_file" if check.severity == "error" and check.kind != "text" else "warn"


def _figure(check: Check, tally: _Tally) -> float:
    if tally.value is not None:
        return tally.value
    if check.threshold is not None and check.threshold.unit == "percent":
        return _PERCENT * tally.failed / tally.looked_at if tally.looked_at else 0.0
    return float(tally.failed)


def _holds(check: Check, tally: _Tally, figure: float) -> bool:
    if check.threshold is None and figures.is_row_count(check):
        return tally.looked_at > 0
    return holds(check.threshold, figure)


def _named(check: Check, argument: str) -> Sequence[str]:
    value = check.arguments.get(argument)
    return () if value is None else tuple(value) if isinstance(value, list | tuple) else (str(value),)


def _length(staged: pl.LazyFrame) -> int:
    return int(staged.select(pl.len()).collect(engine="streaming").item())

"""What a contract says, compiled: frozen, complete, and free of YAML. `load` makes it; everything else reads it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import dataclass, field
from typing import Final, Literal

from pipeline_processing.model import Json  # noqa: TC001 - the same

LogicalType = Literal["string", "integer", "number", "boolean", "date", "timestamp", "time"]
Action = Literal["warn", "quarantine", "fail_file", "fail_run"]
"""What a check that does not hold does. *quarantine* is for row checks only: it takes the rows out."""
Severity = Literal["info", "warning", "error"]
Protection = Literal["hash", "tokenise"]

LINEAGE: Final = ("_agency_id", "_source_file", "_source_version", "_source_row")
"""Columns that every silver row carries beside the contract's; no contract column's name may begin with ``_``.

All are strings but ``_source_row`` (Int64). A contract without partition columns is partitioned by ``_agency_id``.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One normaliser with its options, as the contract names it: ``Step("date", {"formats": ["%m/%d/%Y"]})``."""

    name: str
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lookup:
    """A column's value taken from a reference table: the row whose ``on`` columns equal ours.

    ``on`` maps our columns to the reference's. A row without a match gets null, and the check ``<column>.lookup``
    counts it.
    """

    reference: str
    on: Mapping[str, str]
    take: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference table, read once at plan time as a snapshot. Exactly one of ``path`` and ``query`` is given.

    ``path`` is ``s3://bucket/key`` or a local file (CSV or Parquet), ``query`` is SQL for the product's database.
    """

    name: str
    path: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the silver table.

    ``sources`` are the header names it is read from, in the order of preference; empty for one that is ``derive``d (a
    Polars SQL expression over the other columns) or looked up. ``enum`` are the values allowed after normalising,
    ``synonyms`` maps other spellings to them (compared case-folded). Limits are in the column's type; those of dates
    are ISO 8601 texts.
    """

    name: str
    logical_type: LogicalType
    description: str = ""
    physical_type: str | None = None
    """Honoured for numbers as ``decimal(p,s)``; else told to readers only."""
    required: bool = False
    unique: bool = False
    primary_key_position: int | None = None
    partition_position: int | None = None
    classification: str | None = None
    protection: Protection | None = None
    """Written keyed: *hash* (hex HMAC-SHA-256, one way), *tokenise* (the same, shortened and prefixed ``tok_``)."""
    sources: tuple[str, ...] = ()
    normalise: tuple[Step, ...] = ()
    """Applied in order to the source's text; the column's type is read from the result."""
    derive: str | None = None
    lookup: Lookup | None = None
    enum: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: float | int | str | None = None
    maximum: float | int | str | None = None
    exclusive_minimum: float | int | str | None = None
    exclusive_maximum: float | int | str | None = None
    multiple_of: float | int | None = None
    timezone: str | None = None
    examples: tuple[Json, ...] = ()

    @property
    def is_classified(self) -> bool:
        """Say whether its values must not appear in logs, reports, markers and profiles (law 13).

        A column that is protected is, whatever its classification says: its profile would tell what silver hides.
        """
        return self.protection is not None or self.classification not in {None, "public"}


Operator = Literal["=", "!=", ">", ">=", "<", "<=", "between", "not between"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a check's figure must be: rows, or percent of the rows it looked at."""

    operator: Operator
    values: tuple[Json, ...]
    unit: Literal["rows", "percent"] = "rows"


CheckKind = Literal[
    "type",  # the value could be read as the column's type
    "required",
    "enum",
    "pattern",
    "length",
    "range",
    "multiple_of",
    "unique",  # counts every row of a key that stands more than once, nulls aside
    "primary_key",  # the same over the columns of the primary key; a null in it fails too
    "lookup",
    "row",  # `expression`, a Polars SQL boolean over the silver columns, holds for the row; null = does not apply
    "overlap",  # arguments: by (columns), start, end: intervals of one `by` that overlap
    "metric",  # arguments["metric"] of ODCS: nullValues missingValues invalidValues duplicateValues rowCount
    "sql",  # `expression` is a query over the file's rows, table {table}, that gives one number
    "freshness",  # the newest value of `column` is at most `threshold` days old
    "text",  # for people: always skipped, never green
]


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``name`` is unique in the contract: ``<column>.<kind>`` unless the contract names it.

    Row kinds (`ROW_KINDS`) count rows that fail; with ``threshold`` the action is taken only where that figure does not
    hold (without one: where any row fails). Action *quarantine* takes failing rows out whatever the threshold.
    """

    name: str
    kind: CheckKind
    column: str | None = None
    action: Action = "quarantine"
    severity: Severity = "error"
    dimension: str | None = None
    description: str = ""
    threshold: Threshold | None = None
    expression: str | None = None
    arguments: Mapping[str, Json] = field(default_factory=dict)


LOCAL_KINDS: Final = frozenset[CheckKind](
    ("type", "required", "enum", "pattern", "length", "range", "multiple_of", "lookup", "row")
)
"""Kinds that one row decides by itself."""
WHOLE_KINDS: Final = frozenset[CheckKind](("unique", "primary_key", "overlap"))
"""Kinds that fail rows, but need all of the file's to tell."""
ROW_KINDS: Final = LOCAL_KINDS | WHOLE_KINDS
FIGURE_KINDS: Final = frozenset[CheckKind](("metric", "sql", "freshness"))
"""Kinds that are one figure of the whole file."""


@dataclass(frozen=True, slots=True)
class Dedupe:
    """Of the rows with equal ``key`` (nulls equal each other) the first by ``order`` stays; then the first in the file.

    ``order`` is (column, descending); nulls come last in either direction.
    """

    key: tuple[str, ...]
    order: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """How the source files are written. What is None is detected, file by file."""

    kind: Literal["csv", "ndjson", "json", "xlsx", "xls", "parquet", "fixed"] | None = None
    delimiter: str | None = None
    quote: str = '"'
    encoding: str | None = None
    header_row: int | None = None
    """Row of the header, from 1; 0 = no header: ``names``, or the contract's columns in order, stand for it."""
    names: tuple[str, ...] = ()
    sheet: str | int | None = None
    records: str | None = None
    """Dotted path to the array in a JSON document."""
    widths: tuple[tuple[str, int, int], ...] = ()
    """Fixed width: (name, start from 1, length in characters)."""
    null_values: tuple[str, ...] = ("",)
    totals: str | None = None
    """Regular expression: a row whose first non-empty cell matches it is a totals line, and no data."""


@dataclass(frozen=True, slots=True)
class Sla:
    """One service-level property of the contract, as it stands there."""

    property: str
    value: Json
    unit: str | None = None
    element: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """When a profile counts as drifted from the last published one; None = not looked at. Shares are in [0, 1]."""

    psi: float | None = 0.25
    """Population stability index of a column; 0.1 and 0.25 are the customary bounds (Siddiqi 2006)."""
    null_rate: float | None = 0.1
    """Largest absolute change of a column's share of nulls."""
    rows: float | None = 0.5
    """Largest relative change of the number of rows."""
    new_categories: bool = True
    lost_categories: bool = True
    action: Action = "warn"


@dataclass(frozen=True, slots=True)
class QuarantinePolicy:
    """``max_share``: when more of a file's rows than that are quarantined, the whole file fails."""

    max_share: float = 1.0
    keep_raw: bool = True


@dataclass(frozen=True, slots=True)
class Contract:
    """One dataset. ``fingerprint`` is 16 hex digits over everything that changes what comes out."""

    id: str
    version: str
    dataset: str
    columns: tuple[Column, ...]
    checks: tuple[Check, ...]
    fingerprint: str
    status: str = "active"
    description: str = ""
    dedupe: Dedupe | None = None
    references: tuple[Reference, ...] = ()
    format: Format = field(default_factory=Format)
    quarantine: QuarantinePolicy = field(default_factory=QuarantinePolicy)
    drift: Drift = field(default_factory=Drift)
    sla: tuple[Sla, ...] = ()
    unknown_columns: Literal["ignore", "fail_file"] = "ignore"
    """What a source column that no contract column reads does. Either way it is counted and named."""

    def column(self, name: str) -> Column:
        """Return the column called ``name``; KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Return the primary key's columns in their order; empty where there is none."""
        keyed = [(c.primary_key_position, c.name) for c in self.columns if c.primary_key_position is not None]
        return tuple(name for _, name in sorted(keyed))

    @property
    def partition_by(self) -> tuple[str, ...]:
        """Return the partition columns in their order; ``_agency_id`` where the contract names none."""
        placed = [(c.partition_position, c.name) for c in self.columns if c.partition_position is not None]
        return tuple(name for _, name in sorted(placed)) or LINEAGE[:1]


def fault(kind: Literal["type", "lookup"], column: str) -> str:
    """Return the name of the Boolean column by which a transform says that ``column`` of a row has such a fault."""
    return f"?{kind}:{column}"

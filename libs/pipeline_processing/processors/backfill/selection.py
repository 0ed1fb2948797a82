"""Which bronze files a backfill has work with: chosen by facts about them and about what is published. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.contracts.expressions import expression_fault
from pipeline_processing.processors.silver.plan import Found, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from pipeline_processing.model import Json

Kind = Literal["code", "contract", "input"]
"""What a published file records, and what may be another today."""
KINDS: Final = frozenset[Kind](get_args(Kind))

BATCH: Final = 2000
"""Files whose facts one evaluation of the predicate looks at."""

FACTS: Final = pl.Schema(
    {
        "source": pl.String(),
        "agency_id": pl.String(),
        "size": pl.Int64(),
        "modified": pl.String(),
        "version": pl.String(),
        "published_version": pl.String(),
        "published_run": pl.String(),
        "contract": pl.String(),
        "code": pl.String(),
        "rows": pl.Int64(),
    }
)
"""What ``--where`` may name. ``modified`` is ISO 8601 in UTC: such texts compare as their times do.

``contract`` (its version), ``code``, ``rows`` and what begins with ``published_`` are null for a file that is not
published.
"""
_WAY_OUT: Final = f"write a condition on {', '.join(FACTS)}"


@dataclass(frozen=True, slots=True)
class Today:
    """What a file published now would record."""

    code: str
    contract_fingerprint: str


@dataclass(frozen=True, slots=True)
class Judged(Found):
    """A file with what was decided: ``left`` says why it is left alone; else ``because`` says why there is work."""

    left: Reason | None = None
    because: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a backfill is asked for: each part narrows the others.

    ``since`` and ``until`` bound the source's modified time, half-open. ``stale``: only what is published, with another
    one of these than today's; None = also what was never published.
    """

    since: datetime | None = None
    until: datetime | None = None
    where: str | None = None
    stale: AbstractSet[Kind] | None = None
    is_forced: bool = False

    @classmethod
    def of(cls, spec: Mapping[str, Json]) -> Self:
        """Return what a run's spec says."""
        since, until = (datetime.fromisoformat(spec[name]) if spec[name] else None for name in ("since", "until"))
        stale = None if spec["stale"] is None else frozenset(spec["stale"])
        return cls(since, until, spec["where"], stale, spec["force"])

    def why(self, found: Found, today: Today, *, is_meant: bool) -> tuple[Reason | None, str]:
        """Return why ``found`` is left alone, or why there is work; ``is_meant`` is the predicate's answer."""
        published = found.published
        if not (is_meant and self._is_in_time(found)) or (published is None and self.stale is not None):
            return "not selected", ""
        if published is None:
            return None, "never published"
        differing = [kind for kind in sorted(self.stale or KINDS) if kind in differences(found, today)]
        if differing:
            return None, f"other {', '.join(differing)}"
        return (None, "forced") if self.is_forced else ("up to date", "")

    def _is_in_time(self, found: Found) -> bool:
        if self.since is None and self.until is None:
            return True
        modified = datetime.fromisoformat(found.file.modified)
        return (self.since is None or self.since <= modified) and (self.until is None or modified < self.until)


def differences(found: Found, today: Today) -> frozenset[Kind]:
    """Return in what the published file differs from what a run would publish now; none where nothing is published."""
    published = found.published
    if published is None:
        return frozenset()
    pairs: dict[Kind, bool] = {
        "code": published.code == today.code,
        "contract": published.contract_fingerprint == today.contract_fingerprint,
        "input": published.source_version == found.file.version,
    }
    return frozenset(kind for kind, is_equal in pairs.items() if not is_equal)


async def judge(found: AsyncIterator[Found], selection: Selection, today: Today) -> AsyncIterator[Judged]:
    """Yield every file with what is decided about it, in order and in bounded memory."""
    is_meant = predicate(selection.where) if selection.where is not None else None
    batch: list[Found] = []
    async for one in found:
        batch.append(one)
        if len(batch) >= BATCH:
            for judged in _judged(batch, selection, today, is_meant):
                yield judged
            batch = []
    for judged in _judged(batch, selection, today, is_meant):
        yield judged


def decided(found: Found) -> Reason | None:
    """Return what `judge` decided about the file."""
    return found.left if isinstance(found, Judged) else None


def predicate(sql: str) -> Callable[[Sequence[Found]], list[bool]]:
    """Return what evaluates ``sql`` over the `FACTS` of files; a fact that is null makes a comparison not hold.

    ConfigError where it is no Boolean expression over single files.
    """
    fault = expression_fault(sql, FACTS, boolean=True)
    if fault is not None:
        raise ConfigError(f"{sql!r}: {fault}", where="--where", way_out=_WAY_OUT)
    condition = pl.sql_expr(sql)

    def evaluate(found: Sequence[Found]) -> list[bool]:
        frame = pl.DataFrame([facts(one) for one in found], schema=FACTS, orient="row")
        try:
            return frame.select(condition.fill_null(value=False)).to_series().to_list()
        except pl.exceptions.PolarsError as error:  # a cast, say, that one of the values does not bear
            what = f"{sql!r} can not be told for every file: {str(error).splitlines()[0]}"
            raise ConfigError(what, where="--where", way_out=_WAY_OUT) from error

    return evaluate


def facts(found: Found) -> tuple[Json, ...]:
    """Return the file's `FACTS`."""
    file, published = found.file, found.published
    modified = datetime.fromisoformat(file.modified).astimezone(UTC).isoformat(timespec="seconds")
    known = (file.source, found.agency_id, file.size, modified.replace("+00:00", "Z"), file.version)
    if published is None:
        return (*known, None, None, None, None, None)
    return (*known, published.source_version, published.run, published.contract, published.code, published.rows)


def instant(text: str) -> datetime:
    """Return the time that an ISO 8601 date or time names, in UTC unless it says otherwise; ValueError for others.

    >>> instant("2030-01-31").isoformat()
    '2030-01-31T00:00:00+00:00'
    """
    try:
        at = datetime.combine(date.fromisoformat(text), datetime.min.time())
    except ValueError:
        at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _judged(
    batch: Sequence[Found],
    selection: Selection,
    today: Today,
    is_meant: Callable[[Sequence[Found]], list[bool]] | None,
) -> Iterator[Judged]:
    meant = is_meant(batch) if is_meant is not None and batch else [True] * len(batch)
    for found, is_one in zip(batch, meant, strict=True):
        left, because = selection.why(found, today, is_meant=is_one)
        yield Judged(found.agency_id, found.file, found.published, left, because)

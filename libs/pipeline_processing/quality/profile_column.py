"""One column's profile: counts, sketches, and what people read of them."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, Self

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.quality.sketches import Distinct, Frequent, Quantiles, Sketch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline_processing.model import Json

Kind = Literal["string", "integer", "number", "boolean", "date", "timestamp", "time", "mixed"]
"""*mixed*: profiles of several kinds were merged, as of runs before and after a contract changed the column's type."""
RANKS: Final = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""The quantiles shown."""
BINS: Final = 20
TOP: Final = 10
_TAIL: Final = 0.01
_SKETCHES: Final = ("distinct", "quantiles", "frequent", "shapes")
_TYPES: Final[Mapping[Kind, tuple[type[pl.DataType], ...]]] = {
    "string": (pl.String, pl.Categorical, pl.Enum, pl.Null),
    "boolean": (pl.Boolean,),
    "date": (pl.Date,),
    "timestamp": (pl.Datetime,),
    "time": (pl.Time,),
}
_LAST_DAY: Final = (date.max - date(1970, 1, 1)).days
"""Days since 1970 of 9999-12-31: a bin may end beyond it, and Python has no later date."""
_FAR: Final = 5
"""Where the whole range is so many times as wide as the middle 98 %, a histogram shows the middle."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean, sum of squared deviations and range of numbers, merged by Chan, Golub and LeVeque (1979)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, values: pl.Series) -> Moments:
        """Return those of one block of values without nulls."""
        if values.is_empty():
            return cls()
        numbers = values.cast(pl.Float64)
        figures: tuple[Json, ...] = (numbers.min(), numbers.max(), numbers.mean(), numbers.var(ddof=0))
        low, high, mean, variance = map(float, figures)
        return cls(len(values), mean, variance * len(values), low, high)

    @property
    def deviation(self) -> float | None:
        """Return the sample's standard deviation; None of fewer than two."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else None

    def merge(self, other: Moments) -> Moments:
        """Return those of both."""
        if not (self.count and other.count):
            return self if self.count else other
        count, gap = self.count + other.count, other.mean - self.mean
        lows = [one.low for one in (self, other) if one.low is not None]
        highs = [one.high for one in (self, other) if one.high is not None]
        return Moments(
            count,
            self.mean + gap * other.count / count,
            self.squares + other.squares + gap * gap * self.count * other.count / count,
            min(lows, default=None),
            max(highs, default=None),
        )


@dataclass(frozen=True, slots=True)
class Histogram:
    """Equal bins between ``edges`` and the share of the values in each.

    Where ``is_cut``, the first and the last bin hold the far tails too.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column's profile. Of a classified one: counts, distinct and lengths alone, no value and no range of values.

    Its HLL keeps some bits of an unkeyed hash of each value; who must not guess at values gets `as_json`, not the
    sketches.
    """

    name: str
    kind: Kind
    is_classified: bool
    rows: int
    nulls: int
    not_finite: int
    """NaN and infinities: counted, and left out of all else."""
    low: Json
    high: Json
    moments: Moments
    lengths: Moments
    distinct: bytes
    quantiles: bytes | None = None
    frequent: bytes | None = None
    shapes: bytes | None = None
    is_sampled: bool = False
    """Say whether frequent values and shapes are estimated from every n-th value: see `accumulator`."""

    @property
    def null_rate(self) -> float:
        """Return the share of nulls; 0 of no rows."""
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def distinct_count(self) -> int:
        """Return about how many distinct values there are, never more than there are values."""
        return min(round(Distinct.from_bytes(self.distinct).estimate()), self.rows - self.nulls)

    @property
    def has_all_values(self) -> bool:
        """Say whether `top` knows every distinct value with its true count."""
        if self.frequent is None or self.is_sampled:
            return False
        return Frequent.from_bytes(self.frequent).is_exact

    def top(self, limit: int = TOP) -> list[tuple[str, int]]:
        """Return the most frequent values with about how often each comes; none of a classified column."""
        return Frequent.from_bytes(self.frequent).top(limit) if self.frequent is not None else []

    def patterns(self, limit: int = TOP) -> list[tuple[str, int]]:
        """Return the most frequent shapes of texts (9 a digit, A a letter)."""
        return Frequent.from_bytes(self.shapes).top(limit) if self.shapes is not None else []

    def sketch(self) -> Quantiles | None:
        """Return the sketch of the values' order; None where the column has none."""
        return Quantiles.from_bytes(self.quantiles) if self.quantiles is not None else None

    def histogram(self, bins: int = BINS) -> Histogram | None:
        """Return how the values spread; None of texts, booleans and classified columns, and where there are none."""
        sketch = self.sketch()
        if sketch is None or not sketch.count:
            return None
        low, near, far, high = sketch.quantiles((0.0, _TAIL, 1 - _TAIL, 1.0))
        is_cut = high - low > _FAR * (far - near) > 0
        low, high = (near, far) if is_cut else (low, high)
        if self.kind in {"integer", "date"}:
            width = max(1, math.ceil((high - low + 1) / bins))
            edges = [low + width * n for n in range(math.ceil((high - low + 1) / width) + 1)]
        elif high > low:
            edges = [low * (1 - n / bins) + high * (n / bins) for n in range(bins + 1)]  # high - low may be too much
        else:
            edges = [low, low + 1]
        edges = sorted(set(edges))  # so near one another, or so large, that floats can not tell all apart
        edges = edges if len(edges) > 1 else [low, math.nextafter(low, math.inf)]
        shares = sketch.shares(edges[1:-1]) if len(edges) > len("ab") else [1.0]
        return Histogram(tuple(edges), tuple(shares), is_cut)

    def shown(self, number: float) -> Json:
        """Return a number of the sketch as the column's kind: a date for days, ISO 8601 as text."""
        match self.kind:
            case "date":
                return (date(1970, 1, 1) + timedelta(days=min(round(number), _LAST_DAY))).isoformat()
            case "timestamp":
                seconds = min(round(number), (_LAST_DAY + 1) * 86_400 - 1)
                return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()
            case "time":
                return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(number))).time().isoformat()
            case "integer":
                return round(number)
            case _:
                return number

    def merge(self, other: Column) -> Column:
        """Return the profile of both. Of two kinds there are no values, ranges and quantiles left: *mixed* says so."""
        if self.kind != other.kind:
            one, two = (_without_values(replace(column, kind="mixed")) for column in (self, other))
            return one.merge(two)
        is_classified = self.is_classified or other.is_classified
        merged = replace(
            self,
            is_classified=is_classified,
            rows=self.rows + other.rows,
            nulls=self.nulls + other.nulls,
            not_finite=self.not_finite + other.not_finite,
            low=_extreme(min, self.low, other.low),
            high=_extreme(max, self.high, other.high),
            moments=self.moments.merge(other.moments),
            lengths=self.lengths.merge(other.lengths),
            distinct=Distinct.from_bytes(self.distinct).merge(Distinct.from_bytes(other.distinct)).to_bytes(),
            quantiles=_merged(Quantiles, self.quantiles, other.quantiles),
            frequent=_merged(Frequent, self.frequent, other.frequent),
            shapes=_merged(Frequent, self.shapes, other.shapes),
            is_sampled=self.is_sampled or other.is_sampled,
        )
        return _without_values(merged) if is_classified else merged

    def as_json(self) -> dict[str, Json]:
        """Return what people read; no sketch, and no value of a classified column."""
        sketch, spread = self.sketch(), self.histogram()
        values = sketch.quantiles(RANKS) if sketch is not None else []
        return {
            "name": self.name,
            "kind": self.kind,
            "classified": self.is_classified,
            "rows": self.rows,
            "nulls": self.nulls,
            "not_finite": self.not_finite,
            "distinct": self.distinct_count,
            "min": self.low,
            "max": self.high,
            "mean": self.moments.mean if self.moments.count else None,
            "stddev": self.moments.deviation,
            "length": {"min": self.lengths.low, "mean": self.lengths.mean, "max": self.lengths.high}
            if self.lengths.count
            else None,
            "quantiles": {f"{rank:g}": self.shown(value) for rank, value in zip(RANKS, values, strict=False)},
            "top": [{"value": value, "count": count} for value, count in self.top()],
            "patterns": [{"pattern": shape, "count": count} for shape, count in self.patterns()],
            "sampled": self.is_sampled,
            "histogram": {
                "edges": [self.shown(edge) for edge in spread.edges],
                "shares": list(spread.shares),
                "cut": spread.is_cut,
            }
            if spread is not None
            else None,
        }

    def to_wire(self) -> dict[str, Json]:
        """Return what `from_wire` reads back: JSON, sketches in base64."""
        wire = asdict(self)
        return {**wire, **{name: _text(wire[name]) for name in _SKETCHES}}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Json]) -> Self:
        """Read what `to_wire` wrote."""
        sketches = {name: b64decode(wire[name]) if wire[name] is not None else None for name in _SKETCHES}
        moments = {name: Moments(**wire[name]) for name in ("moments", "lengths")}
        return cls(**{**wire, **sketches, **moments})


def kind_of(dtype: pl.DataType) -> Kind:
    """Return the kind of a frame's column; ConfigError for a nested one, which no contract has."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    for kind, types in _TYPES.items():
        if dtype in types:
            return kind
    raise ConfigError(f"a column of type {dtype} has no profile")


def spelled(value: object) -> Json:
    """Return a value as JSON has it: dates and times in ISO 8601, moments in UTC, decimals as floats."""
    match value:
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case date() | time():
            return value.isoformat()
        case Decimal():
            return float(value)
        case _:
            return value


def _extreme(choose: Callable[[Iterable[Json]], Json], one: Json, other: Json) -> Json:
    """Return the lesser or greater of two spelled values; ISO 8601 texts of one kind sort as what they say."""
    known = [value for value in (one, other) if value is not None]
    return choose(known) if known else None


def _without_values(column: Column) -> Column:
    return replace(column, low=None, high=None, moments=Moments(), quantiles=None, frequent=None, shapes=None)


def _merged(kind: type[Sketch], one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return None
    return kind.from_bytes(one).merge(kind.from_bytes(other)).to_bytes()


def _text(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()

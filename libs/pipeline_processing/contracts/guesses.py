"""What a column of texts seems to hold: its type, how to read it, whether it is personal."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_processing.contracts.model import LogicalType
    from pipeline_processing.model import Json

_MISFITS: Final = 0.01
_FEW: Final = 5
"""A sample holds faults too, and the contract is there to find them: this share of the values may not fit their type,
and one of a few."""
_RARE: Final = 0.01
"""A value in a smaller share of the rows, or in one, is not taken for an allowed one."""
_MOST_RARE: Final = 0.05
"""Where such values have more of the rows together, the column is not one of a few values."""
MOST_VALUES: Final = 20
FEWEST_ROWS: Final = 50
_INTEGER: Final = r"^[-+]?(0|[1-9][0-9]{0,17})(\.0+)?$"
_NUMBER: Final = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_LEADING_ZERO: Final = r"^[-+]?0[0-9]"
_MONEY: Final = r"^\(?[-+]?\s*[$\u20ac\u00a3]?\s*[0-9]{1,3}(,?[0-9]{3})*(\.[0-9]+)?\)?$"
_SIGNS_OF_MONEY: Final = r"[$\u20ac\u00a3(]|[0-9],[0-9]{3}"
_TRUE: Final = ("y", "yes", "t", "true")
_FALSE: Final = ("n", "no", "f", "false")
_WORDS: Final = ("yes", "no", "true", "false")
"""One of these says alone that its column is of truth values; one of their letters does not."""
_DATES: Final = (
    "%Y-%m-%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%d.%m.%Y",
    "%m/%d/%y",
)
_TIMESTAMPS: Final = (
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
)
_FEWEST_OF_A_FORMAT: Final = 0.001
_EMAIL: Final = r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"
_SSN: Final = r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$"
_RESTRICTED: Final = re.compile(r"(^|_)(ssn|social_security\w*|passport\w*|licen[cs]e_(no|num)\w*)($|_)")
_CONFIDENTIAL: Final = re.compile(
    r"(^|_)(dob|birth\w*|age|(last|first|middle|full|maiden)?_?name|surname|middle_initial|phone\w*|mobile|e?_?mail|"
    r"address\w*|street|zip\w*|salary|pay)($|_)"
)


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column seems to be. ``values`` are the few that it takes, where it takes few."""

    logical_type: LogicalType
    normalise: Sequence[Json] = ()
    values: Sequence[str] = ()
    rare: Sequence[tuple[str, int]] = ()
    """What it takes besides, too seldom to be one of ``values``, with the rows of each."""
    physical_type: str | None = None
    remarks: Sequence[str] = field(default_factory=tuple)


def guess(name: str, texts: pl.Series) -> Guess:
    """Return what the non-null texts of a column called ``name`` (in snake case) seem to be."""
    values = texts.drop_nulls().str.strip_chars()
    values = values.filter(values != "")
    if values.is_empty():
        return Guess("string", remarks=("no value in the sample",))
    if _is_truth(values.str.to_lowercase()):
        return Guess("boolean", ("boolean",))
    return _number(values) or _moment(values) or _text(name, texts, values)


def classification(name: str, texts: pl.Series) -> str | None:
    """Return how a column of that name, or with such values, is likely classified."""
    values = texts.drop_nulls()
    if _RESTRICTED.search(name) or (not values.is_empty() and _share(values, _SSN) >= 0.9):  # noqa: PLR2004 - most
        return "restricted"
    if _CONFIDENTIAL.search(name) or (not values.is_empty() and _share(values, _EMAIL) >= 0.9):  # noqa: PLR2004 - most
        return "confidential"
    return None


def _share(values: pl.Series, pattern: str) -> float:
    return float(values.str.contains(pattern).mean() or 0)  # type: ignore[arg-type] # of Booleans it is a float


def _fit(values: pl.Series, share: float) -> bool:
    """Say whether enough of the values fit, where ``share`` of them do."""
    misfits = round((1 - share) * len(values))
    return misfits <= max(1 if len(values) >= _FEW else 0, int(_MISFITS * len(values)))


def _is_truth(values: pl.Series) -> bool:
    """Say whether texts in small letters are truth values, however they are mixed."""
    said = values.is_in([*_TRUE, *_FALSE])
    if not _fit(values, float(said.mean() or 0)):  # type: ignore[arg-type] # of Booleans it is a float
        return False
    distinct = set(values.filter(said).unique())
    return not distinct.isdisjoint(_WORDS) or not (distinct.isdisjoint(_TRUE) or distinct.isdisjoint(_FALSE))


def _number(values: pl.Series) -> Guess | None:
    if _share(values, _LEADING_ZERO + r"[0-9]*$") > 0:  # a code, not a number
        return None
    if _fit(values, _share(values, _INTEGER)):
        return Guess("integer", ("integer",))
    if _fit(values, _share(values, _NUMBER)):
        return Guess("number", ("number",))
    if _fit(values, _share(values, _MONEY)) and _share(values, _SIGNS_OF_MONEY) > 0:
        return Guess("number", ("money",), physical_type="decimal(18,2)")
    return None


def _moment(values: pl.Series) -> Guess | None:
    if not _fit(values, _share(values, r"[0-9]")):
        return None
    dates, covered, is_ambiguous = _formats(values, _DATES, pl.Date())
    if dates and _fit(values, covered):
        remark = ("day and month may stand the other way round: look at its formats",) if is_ambiguous else ()
        return Guess("date", ({"date": {"formats": dates}},), remarks=remark)
    stamps, covered, _ = _formats(values, _TIMESTAMPS, pl.Datetime("us"))
    if stamps and _fit(values, covered):
        return Guess("timestamp", ({"timestamp": {"formats": stamps}},))
    return None


def _formats(values: pl.Series, formats: Sequence[str], kind: pl.Date | pl.Datetime) -> tuple[list[str], float, bool]:
    """Return the formats that read the values, the share that they read, and whether two of them read all alike."""
    read = {form: _read(values, kind, form) for form in formats}
    both = read.get("%m/%d/%Y"), read.get("%d/%m/%Y")
    is_ambiguous = both[0] is not None and both[1] is not None and both[0].any() and bool((both[0] == both[1]).all())
    left = values.is_not_null()
    chosen: list[str] = []
    while left.any():
        counts = {form: int((mask & left).sum()) for form, mask in read.items() if form not in chosen}
        best = max(counts, key=lambda form: counts[form], default=None)
        if best is None or counts[best] <= _FEWEST_OF_A_FORMAT * len(values):
            break
        chosen.append(best)
        left &= ~read[best]
    return chosen, 1 - float(left.mean() or 0), is_ambiguous  # type: ignore[arg-type] # of Booleans it is a float


def _read(values: pl.Series, kind: pl.Date | pl.Datetime, form: str) -> pl.Series:
    """Say which values the format reads; ``%Y`` reads two digits too, as a year of antiquity."""
    return values.str.strptime(kind, form, strict=False).dt.year().is_between(1800, 2200).fill_null(value=False)


def _text(name: str, texts: pl.Series, values: pl.Series) -> Guess:
    steps: list[Json] = []
    present = texts.drop_nulls()
    if (present != present.str.strip_chars()).any():
        steps.append("trim")
    if _share(values, r"\s\s") > 0:
        steps.insert(0, "collapse_spaces")
    if _share(values, _EMAIL) >= 0.9:  # noqa: PLR2004 - most
        return Guess("string", (*steps, "email"))
    if "phone" in name or "mobile" in name:
        return Guess("string", (*steps, {"phone": {"region": "US"}}))
    if name.rpartition("_")[2] == "state" and _fit(values, _share(values, r"^[A-Za-z]{2}$")):
        return Guess("string", (*steps, "us_state"))
    if classification(name, texts) is None and len(values) >= FEWEST_ROWS:
        upper = values.str.to_uppercase()
        is_mixed = upper.n_unique() < values.n_unique()
        few, rare = _few(upper if is_mixed else values)
        if few:
            return Guess("string", [*steps, "upper"] if is_mixed else steps, values=few, rare=rare)
    return Guess("string", steps)


def _few(values: pl.Series) -> tuple[list[str], list[tuple[str, int]]]:
    """Return the few values that a column takes, and those that it takes so seldom that they may be slips.

    None where it takes many, or where what is seldom is much.
    """
    counts = values.value_counts(name="rows", sort=True)
    seldom = (pl.col("rows") == 1) | (pl.col("rows") < _RARE * len(values))
    often, rare = counts.filter(~seldom), counts.filter(seldom)
    if len(often) > min(MOST_VALUES, len(values) // 10) or rare["rows"].sum() > _MOST_RARE * len(values):
        return [], []
    return sorted(often.to_series().to_list()), sorted(rare.rows(), key=lambda one: (-one[1], one[0]))

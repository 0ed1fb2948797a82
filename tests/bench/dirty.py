"""A dirty file of any size, always the same for a seed, and the contract that it is to be refined by.

About 100 bytes a row, twelve columns: four date formats, money in four spellings, typos of an enum's values, a
twentieth of the keys twice, blanks and capitals at random, and one record in a thousand malformed.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline_processing.contracts.model import Check, Column, Contract, Dedupe, Step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

CHUNK: Final = 250_000
SEED: Final = 20_170_401
COLUMNS: Final = (
    "Case Id",
    "Version",
    "Last Name",
    "First Name",
    "Hired",
    "Left",
    "Salary",
    "Status",
    "Rank",
    "Age",
    "Sworn",
    "State",
)
_FORMATS: Final = ("%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y", "%Y%m%d")
_SYLLABLES: Final = ("ber", "gar", "kow", "li", "man", "mül", "ngu", "o'", "ro", "san", "ski", "son", "wil", "zal")
_LAST_NAMES: Final = 20_000
_FIRST_NAMES: Final = 3_000
_STATUS: Final = ("ACTIVE", "Active", "Retired", "SEPARATED", "on leave", " active", "LOA", "ACTVE", "Retierd", "")
_STATUS_SHARES: Final = (0.3, 0.2, 0.2, 0.1, 0.1, 0.06, 0.034, 0.002, 0.002, 0.002)
_RANK: Final = ("Police Officer", "SERGEANT", "Lieutenant", "Captain", "Detective ", "P.O.", "Sgt", "")
_SWORN: Final = ("Y", "N", "yes", "no", "TRUE", "false", "1", "0", "")
_STATE: Final = ("IL", "il", "Illinois", "IN", "WI", " WI", "indiana", "", "XX")
_STATE_SHARES: Final = (0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.029, 0.02, 0.001)
_MALFORMED: Final = ("cut,off,here", "one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve,thirteen")
_EVERY: Final = 1_000
"""One record in so many is malformed."""
_REPEATED: Final = 0.05


def write(path: Path, rows: int, *, seed: int = SEED) -> int:
    """Write the file in chunks, so that it takes no memory to speak of; return how many records are malformed."""
    with path.open("wb") as file:
        file.write((",".join(COLUMNS) + "\n").encode())
        for first in range(0, rows, CHUNK):
            lines = _lines(np.random.default_rng([seed, first]), first, min(CHUNK, rows - first))
            file.write(lines.str.join("\n").item().encode())
            file.write(b"\n")
    return len(range(_EVERY // 2, rows, _EVERY))


def _lines(generator: np.random.Generator, first: int, count: int) -> pl.Series:
    """Return ``count`` records, of which the first is the file's ``first``."""

    def pick(values: Sequence[str] | pl.Series, shares: Sequence[float] | None = None) -> pl.Series:
        return pl.Series(values).gather(generator.choice(len(values), count, p=shares))

    def some(share: float) -> npt.NDArray[np.bool_]:
        return generator.random(count) < share

    rows = np.arange(first, first + count)
    hired = generator.integers(0, 18_000, count)
    gone = hired + np.where(some(0.005), -1, 1) * generator.integers(1, 9_000, count)
    money = generator.integers(1_000, 20_000_000, count)
    frame = pl.DataFrame(
        {
            "row": rows,
            "key": np.where(some(_REPEATED), (rows * generator.random(count)).astype(np.int64), rows),
            "pad": pick(("", " "), (0.99, 0.01)),
            "version": generator.integers(1, 10, count),
            "last": pick(_names(_LAST_NAMES)),
            "first": pick(_names(_FIRST_NAMES)),
            "hired": pl.Series(hired.astype(np.int32)).cast(pl.Date),
            "hired_format": generator.integers(0, len(_FORMATS), count),
            "left": pl.Series(gone.astype(np.int32)).cast(pl.Date),
            "left_format": generator.integers(0, len(_FORMATS) + 2, count),
            "dollars": money // 100,
            "cents": money % 100,
            "money_format": generator.integers(0, 4, count),
            "status": pick(_STATUS, _STATUS_SHARES),
            "rank": pick(_RANK),
            "age": np.where(some(0.001), 199, generator.integers(18, 80, count)),
            "age_format": generator.integers(0, 2, count),
            "sworn": pick(_SWORN),
            "state": pick(_STATE, _STATE_SHARES),
        }
    )
    record = pl.concat_str(
        pl.col("pad") + "CPD-" + pl.col("key").cast(pl.String).str.zfill(10),
        pl.col("version").cast(pl.String) + pl.when(pl.col("row") % 2 == 0).then(pl.lit(".0")).otherwise(pl.lit("")),
        "last",
        "first",
        _date("hired"),
        _date("left"),
        _money(),
        "status",
        "rank",
        pl.col("age").cast(pl.String) + pl.when(pl.col("age_format") == 1).then(pl.lit(".0")).otherwise(pl.lit("")),
        "sworn",
        "state",
        separator=",",
    )
    malformed = (
        pl.when(pl.col("row") % 2_000 == _EVERY // 2).then(pl.lit(_MALFORMED[0])).otherwise(pl.lit(_MALFORMED[1]))
    )
    is_bad = pl.col("row") % _EVERY == _EVERY // 2
    return frame.select(pl.when(is_bad).then(malformed).otherwise(record).alias("line")).to_series()


@cache
def _names(count: int) -> pl.Series:
    """Return names of three or four syllables: as many as a city has, in any case, some with blanks around them."""
    generator = np.random.default_rng(count)
    made = ["".join(generator.choice(_SYLLABLES, 3 + number % 2)) for number in range(count)]
    spelled = (str.title, str.upper, str.lower, lambda name: f" {name.title()}", lambda name: f"{name.upper()} ")
    return pl.Series([spelled[number % len(spelled)](name) for number, name in enumerate(made)])


def _date(name: str) -> pl.Expr:
    spelled = pl.lit("")
    for number, text in enumerate(_FORMATS):
        spelled = pl.when(pl.col(f"{name}_format") == number).then(pl.col(name).dt.strftime(text)).otherwise(spelled)
    return spelled


def _money() -> pl.Expr:
    dollars, cents = pl.col("dollars").cast(pl.String), pl.col("cents").cast(pl.String).str.zfill(2)
    grouped = dollars.str.replace(r"^(\d+)(\d{3})$", "$1,$2")
    kind = pl.col("money_format")
    return (
        pl.when(kind == 0)
        .then('"$' + grouped + "." + cents + '"')
        .when(kind == 1)
        .then(dollars + ".0")
        .when(kind == 2)
        .then('"(' + grouped + "." + cents + ')"')
        .otherwise("USD " + dollars)
    )


def contract() -> Contract:
    """Return what the file is refined by: every column normalised, twenty checks, a profile, a dedupe key."""
    money = Step("money", {"currencies": ["$", "USD"]})
    dates = Step("date", {"formats": list(_FORMATS)})
    trim, collapse = Step("trim"), Step("collapse_spaces")
    return Contract(
        id="dirty",
        version="1.0.0",
        dataset="dirty",
        fingerprint="0123456789abcdef",
        columns=(
            Column(
                "case_id",
                "string",
                sources=("Case Id",),
                normalise=(trim, Step("upper")),
                primary_key_position=1,
                pattern=r"^CPD-\d{10}$",
                min_length=14,
                max_length=14,
                required=True,
            ),
            Column("version", "integer", sources=("Version",), minimum=1, maximum=9, required=True),
            Column(
                "last_name",
                "string",
                sources=("Last Name",),
                normalise=(trim, collapse, Step("title")),
                required=True,
                max_length=40,
                classification="restricted",
            ),
            Column(
                "first_name",
                "string",
                sources=("First Name",),
                normalise=(trim, collapse, Step("title")),
                max_length=40,
                classification="restricted",
            ),
            Column(
                "hired",
                "date",
                sources=("Hired",),
                normalise=(dates,),
                required=True,
                minimum="1950-01-01",
                maximum="2026-01-01",
            ),
            Column("left", "date", sources=("Left",), normalise=(dates,)),
            Column(
                "salary",
                "number",
                sources=("Salary",),
                physical_type="decimal(12,2)",
                normalise=(money,),
                minimum=-250_000,
                maximum=250_000,
            ),
            Column(
                "status",
                "string",
                sources=("Status",),
                normalise=(trim,),
                required=True,
                enum=("active", "retired", "separated", "leave"),
                synonyms={"on leave": "leave", "loa": "leave"},
            ),
            Column("rank", "string", sources=("Rank",), normalise=(trim, Step("title")), max_length=30),
            Column("age", "integer", sources=("Age",), minimum=16, maximum=110),
            Column("sworn", "boolean", sources=("Sworn",)),
            Column("state", "string", sources=("State",), normalise=(Step("us_state"),), pattern="^[A-Z]{2}$"),
        ),
        checks=CHECKS,
        dedupe=Dedupe(("case_id",), (("version", True), ("hired", False))),
    )


CHECKS: Final = (
    *(Check(f"{name}.type", "type", name) for name in ("version", "hired", "left", "salary", "age", "sworn", "state")),
    *(Check(f"{name}.required", "required", name) for name in ("case_id", "version", "last_name", "hired", "status")),
    *(Check(f"{name}.pattern", "pattern", name) for name in ("case_id", "state")),
    *(Check(f"{name}.length", "length", name) for name in ("case_id", "last_name", "rank")),
    *(Check(f"{name}.range", "range", name) for name in ("version", "hired", "salary", "age")),
    Check("status.enum", "enum", "status"),
    Check("left_after_hired", "row", expression="left >= hired"),
    Check("case_id.primary_key", "primary_key"),
)
"""All of the dirty contract's; the fifteen of the bench on checks alone are among them."""

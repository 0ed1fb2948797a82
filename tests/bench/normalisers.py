"""Rows per CPU-second of each normaliser, on batches of 64k rows: `python -m tests.bench.normalisers`.

*repeating*: 500 distinct texts a batch, as a roster's columns have; *distinct*: every text once, the worst there is.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline_processing.contracts.model import Column, Contract, Step
from pipeline_processing.transforms.plan import compile_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline_processing.model import Json
    from pipeline_processing.transforms.plan import Plan

ROWS: Final = 65_536
BATCHES: Final = 5
_SYLLABLES: Final = ("BER", "GAR", "KOW", "LI", "MAN", "NGU", "RO", "SAN", "SKI", "SON", "WIL", "ZAL")


def name(number: int) -> str:
    """Return a word of five syllables, another one for each number."""
    return "".join(_SYLLABLES[number // 12**place % 12] for place in range(5))


def day_text(number: int, form: int) -> str:
    day = np.datetime64("1940-01-01") + number % 28_000
    text = str(day)
    year, month, of_month = text.split("-")
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return (
        f"{month}/{of_month}/{year}",
        text,
        f"{of_month}-{names[int(month) - 1]}-{year}",
        f"{year}{month}{of_month}",
        f"{month}/{of_month}/{year[2:]}",
    )[form]


def column(name: str, kind: str = "string", *, physical: str | None = None, **options: Json) -> Column:
    return Column(
        "x",
        kind,  # type: ignore[arg-type]  # one of the logical types, below
        sources=("x",),
        normalise=(Step(name, options),),
        physical_type=physical,
    )


CASES: Final[Mapping[str, tuple[Column, Callable[[int], str]]]] = {
    "trim": (column("trim"), lambda n: f" {name(n)} "),
    "collapse_spaces": (column("collapse_spaces"), lambda n: f" {name(n)}  {name(n + 7)} "),
    "unicode": (column("unicode"), lambda n: f"{name(n)}\u00e9"),
    "upper": (column("upper"), lambda n: name(n).lower()),
    "title": (column("title"), name),
    "replace": (column("replace", pattern=r"\d+$", **{"with": ""}), lambda n: f"{name(n)} {n}"),
    "null_if": (column("null_if", values=["N/A", "-"]), lambda n: name(n) if n % 3 else "N/A"),
    "digits": (column("digits"), lambda n: f"CPD-{n:06d}"),
    "person_name, plain": (column("person_name"), lambda n: f"{name(n)} {name(n * 31)}"),
    "person_name, LAST, FIRST": (
        column("person_name", order="last_first"),
        lambda n: f"{name(n)}, {name(n * 31)} J",
    ),
    "person_name, all special": (column("person_name"), lambda n: f"{name(n)} MC{name(n * 31)} JR"),
    "date, one format": (column("date", "date", formats=["%m/%d/%Y"]), lambda n: day_text(n, 0)),
    "date, four formats": (
        column("date", "date", formats=["%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y", "%Y%m%d"]),
        lambda n: day_text(n, n % 4),
    ),
    "date, two-digit years": (column("date", "date", order="MDY", max_year=2017), lambda n: day_text(n, 4)),
    "timestamp, ISO": (column("timestamp", "timestamp"), lambda n: f"{day_text(n, 1)}T{n % 24:02d}:{n % 60:02d}:00"),
    "timestamp, US, Chicago": (
        column("timestamp", "timestamp", order="MDY", timezone="America/Chicago"),
        lambda n: f"{day_text(n, 0)} {n % 12 + 1}:{n % 60:02d} PM",
    ),
    "time": (column("time", "time"), lambda n: f"{n % 24:02d}:{n % 60:02d}"),
    "integer": (column("integer", "integer"), str),
    "integer, 1946.0": (column("integer", "integer"), lambda n: f"{n}.0"),
    "integer, 1,946": (column("integer", "integer"), lambda n: f"{n + 1000:,}"),
    "number": (column("number", "number"), lambda n: f"{n}.25"),
    "money, plain": (column("money", "number", physical="decimal(12,2)"), lambda n: f"{n}.25"),
    "money, $ ( ) USD": (
        column("money", "number", physical="decimal(12,2)"),
        lambda n: (f"${n:,}.25", f"({n:,}.25)", f"USD {n}")[n % 3],
    ),
    "boolean": (column("boolean", "boolean"), lambda n: ("Y", "no", "TRUE", "0")[n % 4]),
    "enum": (
        replace(column("trim"), enum=("active", "retired"), synonyms={"act": "active"}),
        lambda n: ("ACTIVE", "Retired", "act", "Activ")[n % 4],
    ),
    "us_state": (column("us_state"), lambda n: ("Illinois", "IL", "Ind.", "wi")[n % 4]),
    "email": (column("email"), lambda n: f"{name(n)}@Example.org"),
    "phone": (
        column("phone"),
        lambda n: f"(312) {200 + n // 10_000 % 800}-{n % 10_000:04d}",
    ),
    "us_address": (column("us_address"), lambda n: f"{n} North {name(n % 999)} Avenue Apt {n % 9}"),
    "protect: hash": (replace(column("trim"), protection="hash"), lambda n: f"{n:09d}"),
}


def main() -> int:
    """Print the table."""
    sys.stdout.write(f"{'normaliser':28}{'repeating':>14}{'distinct':>14}   rows/CPU-s\n")
    for case, (one, spell) in CASES.items():
        figures = [_speed(one, spell, distinct) for distinct in (500, ROWS)]
        sys.stdout.write(f"{case:28}{figures[0]:>14,.0f}{figures[1]:>14,.0f}\n")
    return 0


def _speed(one: Column, spell: Callable[[int], str], distinct: int) -> float:
    plan = _plan(one)
    texts = [_batch(spell, distinct, number) for number in range(BATCHES)]
    plan.finish(plan.normalise(texts[0]))
    begun = time.process_time()
    for batch in texts[1:]:
        plan.finish(plan.normalise(batch))
    return ROWS * (BATCHES - 1) / (time.process_time() - begun)


def _plan(one: Column) -> Plan:
    contract = Contract("bench", "1.0.0", "bench", (one,), (), "0123456789abcdef")
    return compile_plan(contract, ("x",), agency_id="10", source="s", source_version="1", token_key=b"bench")


def _batch(spell: Callable[[int], str], distinct: int, number: int) -> pl.DataFrame:
    generator = np.random.default_rng(number)
    first = 0 if distinct < ROWS else number * ROWS
    numbers = generator.integers(0, distinct, ROWS) if distinct < ROWS else generator.permutation(ROWS)
    texts = [spell(first + int(value)) for value in numbers]
    rows = pl.int_range(1, ROWS + 1, dtype=pl.UInt64, eager=True)
    return pl.DataFrame({"x": texts, "_row": rows, "_line": rows})


if __name__ == "__main__":
    sys.exit(main())

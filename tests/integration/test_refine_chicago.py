"""A police department's public records to silver, by the contracts in ``contracts/``: what they turned out to hold.

The counts are pinned: they were found by our checks, and by hand in the raw text (see each test).
"""

from __future__ import annotations

import csv
import gzip
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

from pipeline_processing.contracts.load import load
from pipeline_processing.processors.refining.refine import refine

if TYPE_CHECKING:
    from pipeline_processing.processors.refining.refined import Refined

ROOT: Final = Path(__file__).parents[2]
CHICAGO: Final = ROOT / "../shared/data/chicago"
FILES: Final = {"chicago_roster": "roster_1936-2017.csv.gz", "chicago_unit_history": "unit_history_2016-12.csv.gz"}

pytestmark = pytest.mark.skipif(not CHICAGO.is_dir(), reason="the real input (../shared/data/chicago) is not here")


def refined(dataset: str, folder: Path) -> Refined:
    return refine(
        CHICAGO / FILES[dataset],
        load(ROOT / f"contracts/{dataset}.odcs.yaml"),
        into=folder,
        source=f"s3://bronze/{FILES[dataset]}",
        source_version="1",
        agency_id="10",
        today=date(2026, 11, 27),
        footer={"pipeline.run": "chicago"},
    )


def raw(dataset: str) -> list[dict[str, str]]:
    with gzip.open(CHICAGO / FILES[dataset], "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> Refined:
    return refined("chicago_roster", tmp_path_factory.mktemp("roster") / "out")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Refined:
    return refined("chicago_unit_history", tmp_path_factory.mktemp("history") / "out")


def counts(result: Refined) -> dict[str, int]:
    return {
        "in": result.rows_in,
        "out": result.rows_out,
        "quarantined": result.quarantined,
        "deduplicated": result.deduplicated,
    }


def warned(result: Refined) -> dict[str, int]:
    return {check.name: check.failed for check in result.verdict.results if check.status == "warned"}


def rows(result: Refined) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(output.path) for output in result.outputs])


def test_the_roster_goes_to_silver_but_for_eight_rows(roster: Refined) -> None:
    assert {"in": 32_446, "out": 32_438, "quarantined": 3, "deduplicated": 5} == counts(roster)
    assert {
        "appointed after childhood": 1,
        "last_name.required": 1,
        "resignation_date.range": 1,
    } == roster.quarantined_by
    assert ("warn", (), ()) == (roster.verdict.status, roster.missing, roster.unread)


def test_what_is_odd_in_the_roster_is_counted_and_stays(roster: Refined) -> None:
    assert {
        "active without resignation": 36,
        "appointed at a usual age": 20,
        "appointed before resigned": 10,
        "appointed_date.required": 6,
        "birth_year.required": 2,
        "first_name.required": 1,
        "resigned with a day": 501,
    } == warned(roster)


def test_the_unit_history_goes_to_silver_but_for_1752_rows(history: Refined) -> None:
    assert {"in": 115_987, "out": 114_235, "quarantined": 1_752, "deduplicated": 0} == counts(history)
    assert {
        "appointed after childhood": 1,
        "ends after it starts": 903,
        "starts after childhood": 7,
        "unit.required": 842,
    } == history.quarantined_by


def test_what_is_odd_in_the_unit_history_is_counted_and_stays(history: Refined) -> None:
    assert {
        "appointed_date.required": 6,
        "birth_year.required": 2,
        "cancelled the day it was made": 5_957,
        "one unit at a time": 2_914,
        "start_date.required": 2_103,
        "starts after the appointment": 338,
    } == warned(history)


@pytest.mark.parametrize("dataset", FILES)
def test_every_row_is_in_silver_in_quarantine_or_a_copy(dataset: str, request: pytest.FixtureRequest) -> None:
    result: Refined = request.getfixturevalue(dataset.removeprefix("chicago_").removeprefix("unit_"))
    assert result.quarantine is not None
    written = rows(result)["_source_row"].to_list()
    quarantined = pl.read_parquet(result.quarantine)["source_row"].to_list()
    assert sorted(written) == written
    assert set(written).isdisjoint(quarantined)
    assert result.deduplicated == result.rows_in - len(written) - len(quarantined)
    copies = set(range(1, result.rows_in + 1)) - set(written) - set(quarantined)
    seen: dict[tuple[str, ...], int] = {}
    found = set()
    for number, row in enumerate(raw(dataset), start=1):
        first = seen.setdefault(tuple(value for name, value in row.items() if name != "row_id"), number)
        found |= {number} if first != number else set()
    assert copies <= found


def test_whole_numbers_that_the_source_writes_as_floats_are_whole(roster: Refined) -> None:
    texts = {row["row_id"]: row for row in raw("chicago_roster")}
    silver = rows(roster).select("row_id", "birth_year", "age", "unit", "star1")
    assert [pl.Int64] * 5 == silver.dtypes
    assert all(not row["birth_year"] or row["birth_year"].endswith(".0") for row in texts.values())
    for row in silver.sample(500, seed=1).iter_rows(named=True):
        source = texts[str(row["row_id"])]
        expected = tuple(f"{row[name]}.0" if row[name] is not None else "" for name in ("birth_year", "age", "unit"))
        assert expected == (source["birth_year"], source["current_age"], source["current_unit"])


def test_intervals_that_end_before_they_start_are_those_that_the_text_has(history: Refined) -> None:
    assert history.quarantine is not None
    reversed_ = [
        number
        for number, row in enumerate(raw("chicago_unit_history"), start=1)
        if row["unit_start_date"]
        and row["unit_end_date"]
        and date.fromisoformat(row["unit_end_date"]) < date.fromisoformat(row["unit_start_date"]) - timedelta(days=1)
    ]
    quarantined = pl.read_parquet(history.quarantine).filter(pl.col("rules").list.contains("ends after it starts"))
    assert reversed_ == quarantined["source_row"].sort().to_list()


def test_ages_fit_the_years_of_birth_in_one_year_or_the_next(roster: Refined) -> None:
    """They are of two days: 23,524 make 2016, 8,920 make 2017; so 'ages that do not fit' are none."""
    silver = rows(roster).select((pl.col("birth_year") + pl.col("age")).alias("year"))
    assert {2016, 2017, None} == set(silver["year"].unique())
    assert {"passed"} == {check.status for check in roster.verdict.results if check.name == "age fits birth year"}


def test_the_same_roster_gives_the_same_bytes(roster: Refined, tmp_path: Path) -> None:
    again = refined("chicago_roster", tmp_path / "out")
    assert [output.sha256 for output in roster.outputs] == [output.sha256 for output in again.outputs]

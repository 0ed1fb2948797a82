from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pipeline_processing.contracts.model import Column, Contract
from pipeline_processing.processors.backfill.difference import Difference, compare, rows_of

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "s3://bronze/10/a.csv"


def contract(*, key: tuple[str, ...] = ("id",), classified: tuple[str, ...] = ("name",)) -> Contract:
    columns = (
        Column("id", "integer"),
        Column("unit", "string"),
        Column("name", "string"),
        Column("changed", "integer"),
    )
    return Contract(
        "people",
        "1.0.0",
        "people",
        tuple(
            Column(
                column.name,
                column.logical_type,
                primary_key_position=key.index(column.name) if column.name in key else None,
                classification="restricted" if column.name in classified else None,
            )
            for column in columns
        ),
        (),
        "f",
    )


def rows(*given: tuple[Any, ...], **columns: Any) -> pl.LazyFrame:  # noqa: ANN401 - any column
    frame = pl.DataFrame(
        list(given),
        schema={"id": pl.Int64, "unit": pl.String, "name": pl.String, "changed": pl.Int64},
        orient="row",
    )
    return frame.with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("_source_row"),
        pl.lit(SOURCE).alias("_source_file"),
        pl.lit("v1").alias("_source_version"),
        **columns,
    ).lazy()


ONE, TWO, THREE = (1, "north", "Ann", 1), (2, "south", "Bob", None), (3, None, "Cyd", 3)


def counts(found: Difference) -> tuple[int, int, int]:
    return found.added, found.gone, found.changed


def no_difference(found: Difference) -> bool:
    return (0, 0, 0, [], [], {}) == (*counts(found), found.new_columns, found.lost_columns, found.retyped)


def test_equal_rows_are_no_difference() -> None:
    found = compare(rows(ONE, TWO, THREE), rows(ONE, TWO, THREE), contract())
    assert (3, 3) == (found.before, found.after)
    assert no_difference(found)


def test_a_row_that_only_moved_is_the_same_where_there_is_a_primary_key() -> None:
    assert no_difference(compare(rows(ONE, TWO, THREE), rows(THREE, ONE, TWO), contract()))


def test_without_a_primary_key_rows_are_compared_by_their_number_in_the_source() -> None:
    found = compare(rows(ONE, TWO), rows(TWO, ONE), contract(key=()))
    assert (("_source_row",), (0, 0, 2)) == (found.key, counts(found))


def test_rows_added_gone_and_changed_are_counted_with_the_columns_that_changed() -> None:
    after = rows((1, "NORTH", "Ann", 1), (2, "SOUTH", "Bob", 2), (4, "west", "Dee", 4))
    found = compare(rows(ONE, TWO, THREE), after, contract())
    assert (1, 1, 2) == counts(found)
    assert {"unit": 2, "changed": 1} == found.by_column
    assert {"added": ["id=4"], "gone": ["id=3"], "changed": ["id=1", "id=2"]} == found.examples


def test_null_to_a_value_and_back_is_a_change_and_null_to_null_is_none() -> None:
    found = compare(rows(TWO, THREE), rows((2, "south", "Bob", 7), (3, None, "Cyd", None)), contract())
    assert {"changed": 2} == found.by_column


def test_no_key_of_a_classified_column_is_shown() -> None:
    found = compare(rows(ONE, TWO), rows(ONE, THREE), contract(key=("name",)))
    assert ((1, 1, 0), {}) == (counts(found), found.examples)


def test_few_keys_are_shown_the_least_first() -> None:
    many = [(number, "north", "Ann", 1) for number in range(50)]
    found = compare(rows(), rows(*reversed(many)), contract())
    assert (50, {"added": ["id=0", "id=1", "id=2"]}) == (found.added, found.examples)


def test_rows_of_an_equal_key_are_compared_in_the_order_of_the_file() -> None:
    before = rows(ONE, (1, "south", "Ann", 1))
    after = rows(ONE, (1, "west", "Ann", 1), (1, "east", "Ann", 1))
    assert (1, 0, 1) == counts(compare(before, after, contract()))


def test_a_null_key_is_a_key() -> None:
    nameless = (None, "north", "Ann", 1)
    assert no_difference(compare(rows(nameless, ONE), rows(nameless, ONE), contract()))


def test_new_lost_and_retyped_columns_are_named_and_values_compared_as_texts() -> None:
    before = rows(ONE, TWO).drop("name").with_columns(changed=pl.col("changed").cast(pl.String), old=pl.lit(1))
    found = compare(before, rows(ONE, TWO), contract())
    assert (["name"], ["old"]) == (found.new_columns, found.lost_columns)
    assert {"changed": "String → Int64"} == found.retyped
    assert (0, 0, 0) == counts(found)


def test_a_key_of_another_type_still_finds_its_row() -> None:
    found = compare(rows(ONE, TWO).with_columns(pl.col("id").cast(pl.String)), rows(ONE, TWO), contract())
    assert (0, 0, 0) == counts(found)


def test_a_primary_key_that_the_table_does_not_have_yet_is_no_key() -> None:
    before = rows(ONE, TWO).drop("id")
    found = compare(before, rows(ONE, TWO), contract())
    assert (("_source_row",), (0, 0, 0)) == (found.key, counts(found))
    assert ["id"] == found.new_columns


@pytest.mark.parametrize(("before", "after", "expected"), [(0, 2, (2, 0, 0)), (2, 0, (0, 2, 0)), (0, 0, (0, 0, 0))])
def test_a_side_without_rows_makes_all_of_the_other_added_or_gone(
    before: int, after: int, expected: tuple[int, int, int]
) -> None:
    sides = [rows(*[ONE, TWO][:number]) for number in (before, after)]
    assert expected == counts(compare(*sides, contract()))
    none = [side if number else None for side, number in zip(sides, (before, after), strict=True)]
    assert expected == counts(compare(*none, contract()))


def test_only_the_rows_of_the_source_are_taken_from_a_file_that_holds_more(tmp_path: Path) -> None:
    other = rows(THREE).with_columns(pl.lit("s3://bronze/20/b.csv").alias("_source_file"))
    pl.concat([rows(ONE, TWO), other]).collect().write_parquet(tmp_path / "merged.parquet")
    found = rows_of([(tmp_path / "merged.parquet", {"_agency_id": "10"})], SOURCE)
    assert found is not None
    assert [(1, "10"), (2, "10")] == found.select("id", "_agency_id").collect().rows()
    assert rows_of([], SOURCE) is None


def test_files_of_several_schemas_are_one_table(tmp_path: Path) -> None:
    rows(ONE).collect().write_parquet(tmp_path / "a.parquet")
    rows(TWO).with_columns(since=pl.lit(date(2030, 1, 1))).collect().write_parquet(tmp_path / "b.parquet")
    files = [(tmp_path / f"{name}.parquet", {"unit": None, "day": name}) for name in "ab"]
    found = rows_of(files, SOURCE)
    assert found is not None
    expected = [(1, None, "a", None), (2, None, "b", date(2030, 1, 1))]
    assert expected == found.select("id", "unit", "day", "since").sort("id").collect().rows()


@pytest.mark.parametrize("key", [("id",), (), ("id", "unit")])
def test_many_buckets_give_the_same_figures_as_one(key: tuple[str, ...]) -> None:
    before = rows(*[(number % 40 or None, "north", "Ann", number) for number in range(200)])
    after = rows(*[(number % 50 or None, "north", "Ann", number // 2) for number in range(220)])
    one, many = (compare(before, after, contract(key=key), bucket_rows=size) for size in (1000, 7))
    assert replace(one, examples={}) == replace(many, examples={})
    assert 20 == one.added - one.gone
    assert dict.fromkeys(one.examples, 3) == {kind: len(keys) for kind, keys in many.examples.items()}

from __future__ import annotations

from datetime import date
from typing import get_args

import polars as pl
import pytest

from pipeline_processing.contracts.expressions import on_day
from pipeline_processing.contracts.model import (
    FIGURE_KINDS,
    LOCAL_KINDS,
    WHOLE_KINDS,
    Check,
    CheckKind,
    Column,
    Contract,
)
from pipeline_processing.contracts.types import polars_type
from pipeline_processing.quality import masks
from pipeline_processing.transforms.columns import published_schema

DAY = date(2030, 1, 31)


@pytest.mark.parametrize(
    ("physical_type", "expected"),
    [
        (None, pl.Float64()),
        ("double", pl.Float64()),
        ("decimal", pl.Float64()),
        ("NUMERIC", pl.Float64()),
        ("decimal(9)", pl.Decimal(9, 0)),
        ("Decimal( 12 , 2 )", pl.Decimal(12, 2)),
        ("numeric(38,38)", pl.Decimal(38, 38)),
        ("decimal(39,2)", pl.Float64()),
        ("decimal(0,0)", pl.Float64()),
        ("decimal(2,3)", pl.Float64()),
        ("decimal(10,2) unsigned", pl.Float64()),
    ],
)
def test_a_number_is_checked_as_the_type_that_it_is_read_as(physical_type: str | None, expected: pl.DataType) -> None:
    column = Column("a", "number", physical_type=physical_type)
    contract = Contract("c", "1.0.0", "people", (column,), (), "0" * 16)
    assert expected == polars_type(column)
    assert expected == masks.schema(contract)["a"]
    assert expected == published_schema(contract)["a"]


def test_only_numbers_are_decimals() -> None:
    assert pl.Int64() == polars_type(Column("a", "integer", physical_type="decimal(9,2)"))


@pytest.mark.parametrize("physical_type", ["decimal", "numeric", "decimal(10,2) unsigned"])
def test_nan_is_outside_the_limits_of_a_decimal_without_a_precision(physical_type: str) -> None:
    column = Column("a", "number", physical_type=physical_type, minimum=0)
    check = Check("a.range", "range", "a")
    contract = Contract("c", "1.0.0", "people", (column,), (check,), "0" * 16)
    rows = pl.DataFrame({"a": [0.0, float("nan"), -0.5, None]})
    failing = rows.select(masks.mask(check, contract, today=DAY)).to_series()
    assert [False, True, True, False] == failing.to_list()


def test_every_kind_of_check_is_of_a_row_of_all_rows_a_figure_or_for_people() -> None:
    split = [LOCAL_KINDS, WHOLE_KINDS, FIGURE_KINDS, {"text"}]
    assert sorted(get_args(CheckKind)) == sorted(kind for kinds in split for kind in kinds)


def test_the_day_of_the_run_stands_for_current_date_but_in_texts_and_quoted_names() -> None:
    sql = """"current_date" < CURRENT_DATE() AND a <> 'it''s current_date' AND current_date > b"""
    expected = """"current_date" < DATE '2030-01-31' AND a <> 'it''s current_date' AND DATE '2030-01-31' > b"""
    assert expected == on_day(sql, DAY)

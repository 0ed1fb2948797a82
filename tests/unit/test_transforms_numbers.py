"""Integers, numbers and money: exact, or a fault."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from one_column import FAULT, batch, column, planned, read

if TYPE_CHECKING:
    from pipeline_processing.model import Json

INTEGER = column(kind="integer")
NUMBER = column(kind="number")
CENTS = replace(column("money", "number"), physical_type="decimal(12,2)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1946", 1946),
        ("1946.0", 1946),
        ("1946.000", 1946),
        ("1946.", 1946),
        (" 1946 ", 1946),
        ("\u00a01946", 1946),
        ("1,946", 1946),
        ("12,345,678.0", 12_345_678),
        ("+5", 5),
        ("-5", -5),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", FAULT),
        ("99999999999999999999.0", FAULT),
        ("1946.5", FAULT),
        ("1,23", FAULT),
        ("1234,567", FAULT),
        ("1e3", FAULT),
        ("0x10", FAULT),
        ("1_000", FAULT),
        ("1 000", FAULT),
        ("--1", FAULT),
        ("-", FAULT),
        (".0", FAULT),
        ("\u0663", FAULT),
        ("NaN", FAULT),
        ("", None),
        ("   ", None),
        (None, None),
    ],
)
def test_a_text_is_an_integer_or_a_fault(text: str | None, expected: Json) -> None:
    assert [expected] == read(INTEGER, text)


@settings(deadline=None)
@given(st.integers(-(10**22), 10**22), st.sampled_from(["{}", "{}.0", " {}", "{:,}", "{:,}.00 "]))
def test_an_integer_never_wraps(number: int, spelling: str) -> None:
    expected = number if -(2**63) <= number < 2**63 else FAULT
    assert [expected] == read(INTEGER, spelling.format(number))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", 1.5),
        ("1e5", 100_000.0),
        ("1,234.5", 1234.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0", 0.0),
        ("nan", FAULT),
        ("inf", FAULT),
        ("-Infinity", FAULT),
        ("1e400", FAULT),
        ("1,2,3", FAULT),
        ("12%", FAULT),
        ("1.2.3", FAULT),
        ("abc", FAULT),
    ],
)
def test_a_text_is_a_finite_number_or_a_fault(text: str, expected: Json) -> None:
    assert [expected] == read(NUMBER, text)


def test_no_number_is_the_negative_zero() -> None:
    values = [str(value) for value in (*read(NUMBER, "-0", "-0.0"), *read(column("money", "number"), "(0.00)"))]
    assert ["0.0", "0.0", "0.0"] == values


def test_a_comma_can_be_the_decimal_sign() -> None:
    european = column("number", "number", decimal=",")
    assert [1234.5, 1234.0, 0.5, FAULT] == read(european, "1.234,5", "1.234", "0,5", "1,234.5")


def test_another_sign_can_part_the_thousands() -> None:
    assert [1234567, FAULT] == read(column("integer", "integer", thousands=" "), "1 234 567", "1,234")
    assert [FAULT] == read(column("integer", "integer", thousands=""), "1,234")


def test_a_percentage_is_a_share() -> None:
    assert [0.125, 0.5, FAULT] == read(column("number", "number", percent=True), "12.5 %", "0.5", "%")


def test_a_percentage_that_a_decimal_can_not_hold_is_a_fault() -> None:
    share = replace(column("number", "number", percent=True), physical_type="decimal(5,2)")
    assert [Decimal("0.12"), FAULT] == read(share, "12%", "12.5%")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1234.5", "1234.50"),
        ("$1,234.50", "1234.50"),
        ("$ 5", "5.00"),
        ("+5", "5.00"),
        ("(5.00)", "-5.00"),
        ("($1,234.50)", "-1234.50"),
        ("$(5)", "-5.00"),
        ("-$5", "-5.00"),
        ("$-5", "-5.00"),
        ("5.00-", "-5.00"),
        ("USD 5", "5.00"),
        ("usd5", "5.00"),
        ("5 USD", "5.00"),
        ("€5.25", "5.25"),
        ("5.00 CR", "-5.00"),
        ("5.00CR", "-5.00"),
        ("5.00 DR", "5.00"),
        ("$5.000", "5.00"),
        (".50", "0.50"),
    ],
)
def test_an_amount_is_read_however_it_is_written(text: str, expected: str) -> None:
    assert [Decimal(expected)] == read(CENTS, text)


@pytest.mark.parametrize(
    "text",
    ["(5", "5)", "-(5)", "--5", "-5-", "(5)-", "1,23", "$", "()", "5.005", "12345678901", "5 dollars", "$5$5", "N/A"],
)
def test_an_amount_is_a_fault_where_it_is_ambiguous_or_does_not_fit(text: str) -> None:
    assert [FAULT] == read(CENTS, text)


@settings(deadline=None)
@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2), st.booleans())
def test_an_amount_is_exact(amount: Decimal, brackets: bool) -> None:  # noqa: FBT001 - hypothesis passes it
    text = f"(${-amount:,.2f})" if brackets and amount < 0 else f"{amount:,.2f}"
    assert [amount] == read(CENTS, text)


def test_a_contract_chooses_the_currencies() -> None:
    assert [5.0, FAULT] == read(column("money", "number", currencies=["CHF"]), "CHF 5", "$5")


def test_a_number_in_a_text_column_is_text() -> None:
    assert ["1946", None] == read(column("integer"), "1946.0", "")


def test_a_decimal_too_wide_for_any_table_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"decimal\(39,2\)"):
        planned(replace(NUMBER, physical_type="decimal(39,2)"))


def test_numbers_have_the_types_that_the_contract_says() -> None:
    for one, dtype in ((INTEGER, pl.Int64()), (NUMBER, pl.Float64()), (CENTS, pl.Decimal(12, 2))):
        assert dtype == planned(one).normalise(batch({"x": ["1", None]}))["x"].dtype


@pytest.mark.parametrize("step", ["number", "money"])
def test_a_number_on_the_way_to_an_integer_is_exact(step: str) -> None:
    texts = ["9007199254740993", "9,223,372,036,854,775,807", "12.0", "1.9999999999999999999", "1e-400"]

    assert [2**53 + 1, 2**63 - 1, 12, FAULT, FAULT] == read(column(step, "integer"), *texts)

"""Derived columns, keys, lookups, and the protection of values."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_core.errors import ConfigError
from one_column import batch, column, planned
from pipeline_processing.contracts.model import Column, Lookup, fault

if TYPE_CHECKING:
    from pipeline_processing.contracts.model import LogicalType
    from pipeline_processing.model import Json

A = Column("a", "string", sources=("a",))
N = Column("n", "integer", sources=("n",))
D = Column("d", "date", sources=("d",))
HEADER = ("a", "n", "d")
KEY = b"0123456789abcdef"
UNITS = pl.DataFrame({"number": ["1", "2", None], "name": ["First", None, "Nowhere"]})
UNIT = Column("unit", "string", lookup=Lookup("units", {"n": "number"}, "name"))


def derived(expression: str, kind: LogicalType = "string", *columns: Column) -> Column:
    return Column("x", kind, derive=expression)


def rows(**columns: list[str | None]) -> pl.DataFrame:
    length = len(next(iter(columns.values())))
    return batch({name: columns.get(name, [None] * length) for name in HEADER})


def make(one: Column, frame: pl.DataFrame, *others: Column, **rest: Json) -> list[Json]:
    return planned(A, N, D, one, *others, header=HEADER, **rest).normalise(frame)[one.name].to_list()


@pytest.mark.parametrize(
    ("expression", "kind", "expected"),
    [
        ("UPPER(a) || '!'", "string", ["X!", None]),
        ("2017 - n", "integer", [2012, None]),
        ("EXTRACT(YEAR FROM d)", "integer", [2005, None]),
        ("n / 2", "number", [2.5, None]),
        ("a IN ('x', 'y') AND n > 1", "boolean", [True, None]),
        ("COALESCE(n, 0)", "integer", [5, 0]),
    ],
)
def test_a_column_is_derived_from_others_of_its_row(expression: str, kind: LogicalType, expected: list[Json]) -> None:
    frame = rows(a=["x", None], n=["5.0", None], d=["2005-01-02", None])
    assert expected == make(derived(expression, kind), frame)


def test_derived_columns_may_read_each_other_in_any_order() -> None:
    first = Column("first", "integer", derive="second + 1")
    second = Column("second", "integer", derive="n * 2")
    assert [11] == make(first, rows(n=["5"]), second)


def test_derived_columns_that_read_each_other_in_a_circle_are_refused() -> None:
    one, two = Column("one", "integer", derive="two + 1"), Column("two", "integer", derive="one + 1")
    with pytest.raises(ConfigError, match="circle: one, two"):
        planned(one, two)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("nope + 1", "nope"),
        ("SUM(n)", "more than one row"),
        ("n - MAX(n) OVER ()", "more than one row"),
        ("CURRENT_DATE - d", "CURRENT_DATE"),
        ("((", "not an expression"),
        ("key(a, nope)", "nope"),
    ],
)
def test_an_expression_that_is_wrong_is_refused_when_it_is_compiled(expression: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        make(derived(expression), rows(a=["x"]))
    assert "derived column 'x'" in str(raised.value)


def test_an_expression_that_fails_on_a_row_says_the_way_out_and_not_the_value() -> None:
    with pytest.raises(ConfigError, match="TRY_CAST") as raised:
        make(derived("CAST(a AS BIGINT)", "integer"), rows(a=["secret"]))
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert [None] == make(derived("TRY_CAST(a AS BIGINT)", "integer"), rows(a=["secret"]))


def test_a_derived_value_that_its_type_can_not_hold_is_a_fault() -> None:
    plan = planned(A, N, D, derived("n * 1.5e18", "integer"), header=HEADER)
    frame = plan.normalise(rows(n=["2", "20", None]))
    assert [3 * 10**18, None, None] == frame["x"].to_list()
    assert [False, True, False] == frame[fault("type", "x")].to_list()


def test_a_key_is_the_same_for_the_same_values_in_any_file() -> None:
    [one, two, other, none] = make(derived("key(a, n)"), rows(a=["x", "x", "x1", None], n=["10.0", "10", "0", "10"]))
    assert one == two == hashlib.blake2b(b"1:x2:10", digest_size=16).hexdigest()
    assert one != other
    assert none is None


def test_a_key_tells_apart_what_would_be_the_same_when_joined() -> None:
    b = Column("b", "string", sources=("b",))
    plan = planned(A, b, Column("x", "string", derive="key(a, b)"), header=("a", "b"))
    keys = plan.normalise(batch({"a": ["ab", "a"], "b": ["c", "bc"]}))["x"].to_list()
    assert 2 == len(set(keys))


def test_a_key_over_a_protected_value_is_made_of_its_token() -> None:
    hidden = replace(A, protection="tokenise")
    keyed = {
        key: planned(hidden, Column("x", "string", derive="key(a)"), header=HEADER, token_key=key).normalise(
            rows(a=["x"])
        )
        for key in (KEY, b"another")
    }
    token = "tok_" + hmac.digest(KEY, b"x", "sha256").hex()[:32]
    expected = hashlib.blake2b(f"36:{token}".encode(), digest_size=16).hexdigest()
    assert [expected] == keyed[KEY]["x"].to_list()
    assert keyed[KEY]["x"].to_list() != keyed[b"another"]["x"].to_list()
    assert ["x"] == keyed[KEY]["a"].to_list()


def test_a_lookup_takes_the_value_and_says_which_rows_found_none() -> None:
    plan = planned(A, N, D, UNIT, header=HEADER, references={"units": UNITS})
    frame = plan.normalise(rows(n=["1.0", "2", "3", None]))
    assert ["First", None, None, None] == frame["unit"].to_list()
    assert [False, False, True, False] == frame[fault("lookup", "unit")].to_list()
    assert fault("type", "unit") not in frame.columns


def test_a_lookup_may_read_a_derived_column_and_be_read_by_one() -> None:
    unit = replace(UNIT, lookup=Lookup("units", {"half": "number"}, "name"))
    shout = Column("shout", "string", derive="UPPER(unit)")
    half = Column("half", "integer", derive="n // 2")
    assert ["FIRST"] == make(shout, rows(n=["3"]), unit, half, references={"units": UNITS})


@pytest.mark.parametrize("numbers", [["1.0", " 2"], [1.0, 2.0], [1, 2]])
def test_a_references_key_is_read_as_our_column_is(numbers: list[Json]) -> None:
    table = pl.DataFrame({"number": numbers, "name": ["First", "Second"]})
    assert ["Second", None] == make(UNIT, rows(n=["2", None]), references={"units": table})


@pytest.mark.parametrize("numbers", [["1", "x"], [1.0, 1.5]])
def test_a_references_key_that_is_not_of_our_columns_type_is_refused(numbers: list[Json]) -> None:
    table = pl.DataFrame({"number": numbers, "name": ["First", "Second"]})
    with pytest.raises(ConfigError, match="1 values of the reference's column 'number' are not of the type Int64"):
        planned(N, UNIT, header=HEADER, references={"units": table})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "no such reference table"),
        (pl.DataFrame({"number": ["1"]}), "no column 'name'"),
        (pl.DataFrame({"name": ["1"]}), "no column 'number'"),
        (pl.DataFrame({"number": ["1", "1.0", "1"], "name": ["a", "b", "c"]}), "3 rows of the reference share"),
    ],
)
def test_a_reference_that_can_not_serve_is_refused(table: pl.DataFrame | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        planned(N, UNIT, header=HEADER, references={} if table is None else {"units": table})


def test_a_reference_whose_values_are_not_of_the_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="not of the type Int64"):
        planned(N, replace(UNIT, logical_type="integer"), header=HEADER, references={"units": UNITS})


def test_protected_values_are_keyed_digests_of_the_normalised_text() -> None:
    hashed = replace(column("digits"), protection="hash")
    token = replace(hashed, name="y", protection="tokenise")
    plan = planned(hashed, token, token_key=KEY)
    digest = hmac.digest(KEY, b"123456789", "sha256").hex()
    frame = plan.finish(plan.normalise(batch({"x": ["123-45-6789", "123456789", None]})))
    assert [digest, digest, None] == frame["x"].to_list()
    assert [f"tok_{digest[:32]}"] * 2 + [None] == frame["y"].to_list()


def test_the_raw_text_of_a_protected_column_goes_to_quarantine_as_a_token() -> None:
    plan = planned(replace(column("digits"), protection="tokenise"), header=("X ", "b"), token_key=KEY)
    raw = plan.protect_raw(batch({"X ": ["123-45-6789"], "b": ["open"]}))
    assert ["tok_" + hmac.digest(KEY, b"123-45-6789", "sha256").hex()[:32]] == raw["X "].to_list()
    assert ["open"] == raw["b"].to_list()


def test_what_could_feed_a_protected_column_is_no_less_secret_where_it_is_not_read() -> None:
    one = Column("ssn", "string", sources=("SSN", "Social Security"), protection="tokenise")
    header = ("ssn", "SSN_2", "social-security", "name")
    raw = planned(one, header=header, token_key=KEY).protect_raw(batch({name: ["123"] for name in header}))
    assert [True, True, True, False] == [raw[name][0].startswith("tok_") for name in header]


def test_a_protected_column_needs_a_key() -> None:
    with pytest.raises(ConfigError, match="PIPELINE_TOKEN_KEY"):
        planned(replace(column(), protection="hash"))

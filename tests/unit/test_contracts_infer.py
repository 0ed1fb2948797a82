from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import InvalidData
from pipeline_processing.contracts.infer import SAMPLE_BATCHES, TOTALS, infer
from pipeline_processing.contracts.load import load
from pipeline_processing.contracts.model import Column, Step


def _inferred(*, rows: int = 1, **columns: list[str | None]) -> dict[str, Column]:
    frame = pl.DataFrame(
        {name: values * rows for name, values in columns.items()}, schema=dict.fromkeys(columns, pl.String)
    )
    return {column.name: column for column in load(infer([frame], dataset="sample")).columns}


@pytest.mark.parametrize(
    ("values", "kind", "step"),
    [
        (["1971.0", "1980.0", None], "integer", Step("integer")),
        (["1", "-20", "+3"], "integer", Step("integer")),
        (["1.5", "2", "-.5"], "number", Step("number")),
        (["$1,200.50", "(300)", "4"], "number", Step("money")),
        (["Y", "N", "y"], "boolean", Step("boolean")),
        (["Y", "no", "Yes", None], "boolean", Step("boolean")),
        (["true"], "boolean", Step("boolean")),
        (["Y", "N"] * 100 + ["?"], "boolean", Step("boolean")),
        (["2016-01-31", "1999-12-01"], "date", Step("date", {"formats": ["%Y-%m-%d"]})),
        (["01/31/2016", "12/25/1999"], "date", Step("date", {"formats": ["%m/%d/%Y"]})),
        (["31/01/2016", "25/12/1999"], "date", Step("date", {"formats": ["%d/%m/%Y"]})),
        (["15-Jun-84", "01-Jan-01"], "date", Step("date", {"formats": ["%d-%b-%y"]})),
        (["2016-01-31 10:00:00"], "timestamp", Step("timestamp", {"formats": ["%Y-%m-%d %H:%M:%S"]})),
    ],
)
def test_the_type_of_a_column_is_told_from_its_values(values: list[str | None], kind: str, step: Step) -> None:
    column = _inferred(x=values)["x"]

    assert (kind, (step,)) == (column.logical_type, column.normalise)


def test_several_formats_of_one_column_are_all_found() -> None:
    values = ["2016-01-31"] * 5 + ["12/25/1999"] * 3 + ["15-Jun-84"] * 2

    assert [Step("date", {"formats": ["%Y-%m-%d", "%m/%d/%Y", "%d-%b-%y"]})] == list(_inferred(x=values)["x"].normalise)


def test_a_day_that_may_be_a_month_is_remarked() -> None:
    assert "day and month may stand the other way round" in _inferred(x=["01/02/2016", "03/04/2016"])["x"].description
    assert "" == _inferred(x=["01/02/2016", "03/25/2016"])["x"].description


@pytest.mark.parametrize(
    "values", [["00123", "00456"], ["A1", "B2"], ["Y", "Y"], ["T", "F", "K"], ["1.2.3"], [None], [""], ["12:30"]]
)
def test_what_is_no_number_stays_text(values: list[str | None]) -> None:
    assert "string" == _inferred(x=values)["x"].logical_type


def test_one_fault_in_a_small_sample_or_one_in_a_hundred_hides_no_type() -> None:
    assert "integer" == _inferred(x=["1", "2", "3", "4", "oops"])["x"].logical_type
    assert "integer" == _inferred(x=[str(n) for n in range(1, 991)] + ["oops"] * 9)["x"].logical_type
    assert "string" == _inferred(x=[str(n) for n in range(1, 91)] + ["oops"] * 9)["x"].logical_type


def test_a_column_that_is_always_there_is_required_and_one_that_tells_rows_apart_is_the_key() -> None:
    columns = _inferred(note=["a", "b", "c"], badge_no=["7", "8", "9"], unit=["1", None, "1"])

    assert [("note", True, None), ("badge_no", True, 1), ("unit", False, None)] == [
        (name, one.required, one.primary_key_position) for name, one in columns.items()
    ]


def test_few_values_are_listed_and_unlike_spellings_are_made_one() -> None:
    column = _inferred(rows=30, race=["White", "WHITE", "Black"])["race"]

    assert ("BLACK", "WHITE") == column.enum
    assert (Step("upper"),) == column.normalise


def test_what_is_rare_is_not_allowed_but_told() -> None:
    frame = pl.DataFrame({"unit": ["north"] * 150 + ["south"] * 150 + ["nroth", "b\u2028ad: #"]})
    text = infer([frame], dataset="x")

    assert ("north", "south") == load(text).column("unit").enum
    assert r"# unit: too rare to be listed as allowed (with their rows): 'b\u2028ad: #' (1), 'nroth' (1)" in text


def test_a_column_of_much_that_is_rare_has_no_list_of_values() -> None:
    assert () == _inferred(x=["a", "b"] * 50 + [f"c{n}" for n in range(20)])["x"].enum


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("pay_no", ["1", "2", "3"]),
        ("amount_no", ["$1.00", "$2.00", "$3.00"]),
        ("share_no", ["1.5", "2.5", "3.5"]),
        ("ssn", ["123-45-6789", "123-45-6780", "123-45-6781"]),
        ("hired", ["2001-02-03", "2001-02-04", "2001-02-05"]),
    ],
)
def test_an_amount_a_day_or_what_is_personal_is_no_key(name: str, values: list[str | None]) -> None:
    assert [None] == [column.primary_key_position for column in _inferred(**{name: values}).values()]


def test_a_last_row_that_looks_like_a_total_is_left_out_and_named_in_the_format() -> None:
    frame = pl.DataFrame({"id": ["1", "2", None], "name": ["Ann", "Bob", "Grand Total"], "pay": ["3", "4", "7"]})
    text = infer([frame], dataset="x")
    contract = load(text)

    assert (TOTALS, ("id",)) == (contract.format.totals, contract.primary_key)
    assert "# The last row looks like a total" in text
    for other in (frame.reverse(), frame.with_columns(name=pl.lit("Totality"))):
        assert None is load(infer([other], dataset="x")).format.totals


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("ssn", ["1"], "restricted"),
        ("other", ["123-45-6789"], "restricted"),
        ("dob", ["1990-01-01"], "confidential"),
        ("last_name", ["x"], "confidential"),
        ("home_phone", ["x"], "confidential"),
        ("contact", ["a@b.org"], "confidential"),
        ("unit", ["1"], None),
    ],
)
def test_personal_data_is_likely_classified(name: str, values: list[str | None], kind: str | None) -> None:
    assert kind == _inferred(**{name: values})[name].classification


def test_no_value_of_a_personal_column_stands_in_the_contract_and_restricted_ones_are_protected() -> None:
    frame = pl.DataFrame({"Last Name": ["Zyskowski", "Abernathy"] * 40, "SSN": ["123-45-6789", "987-65-4321"] * 40})
    text = infer([frame], dataset="people")

    assert not [value for value in ("Zyskowski", "Abernathy", "123-45", "987-65") if value.lower() in text.lower()]
    assert "tokenise" == load(text).column("ssn").protection


def test_headers_become_names_in_snake_case_no_two_alike() -> None:
    frame = pl.DataFrame(
        {"Badge No.": ["1"], "badge_no": ["2"], "HireDate": ["3"], "%": ["4"], "2nd": ["5"], "_row": ["6"]}
    )
    columns = load(infer([frame], dataset="2016 People!")).columns

    assert ["badge_no", "badge_no_2", "hire_date", "column_4", "c_2nd"] == [column.name for column in columns]
    assert ("Badge No.",) == columns[0].sources


def test_a_sample_is_bounded_and_needs_a_row() -> None:
    taken = []

    def endless() -> object:
        while True:
            taken.append(1)
            yield pl.DataFrame({"a": ["1"]})

    infer(endless(), dataset="x")

    assert SAMPLE_BATCHES == len(taken)
    with pytest.raises(InvalidData, match="without rows"):
        infer([pl.DataFrame({"a": []}, schema={"a": pl.String})], dataset="x")


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=12), st.lists(st.none() | st.text(max_size=10), min_size=3, max_size=3), min_size=1, max_size=4
    ).filter(lambda columns: not all(name.startswith("_") for name in columns))
)
def test_whatever_the_sample_the_contract_loads(columns: dict[str, list[str | None]]) -> None:
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))

    contract = load(infer([frame], dataset="x"))

    assert len([name for name in columns if not name.startswith("_")]) == len(contract.columns)

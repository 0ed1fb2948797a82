"""Booleans and enums, and what is suggested for an enum's strangers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from one_column import FAULT, batch, column, planned, read
from pipeline_processing.contracts.model import Column
from pipeline_processing.transforms.choices import REMEMBERED, Suggestion, boolean

if TYPE_CHECKING:
    from pipeline_processing.model import Json

STATUS = Column(
    "x", "string", sources=("x",), enum=("Active", "Retired"), synonyms={"act": "Active", "on leave": "Active"}
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Y", True),
        ("no", False),
        (" TRUE ", True),
        ("f", False),
        ("1", True),
        ("0.0", False),
        ("on", True),
        ("maybe", FAULT),
        ("2", FAULT),
        (" ", None),
        (None, None),
    ],
)
def test_a_truth_value(text: str | None, expected: Json) -> None:
    assert [expected] == read(column(kind="boolean"), text)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["true", "true"], [True, True]),
        (["false", None, "false"], [False, None, False]),
        (["true", "false", None], [True, False, None]),
        (["", None], [None, None]),
        ([None], [None]),
        (["true", "Y", "maybe"], [True, True, None]),
    ],
)
def test_texts_that_are_spelled_like_booleans_are_read_as_others_are(
    texts: list[str | None], expected: list[bool | None]
) -> None:
    value, fault = boolean({})(pl.Series(texts, dtype=pl.String))
    assert (pl.Boolean(), expected) == (value.dtype, value.to_list())
    assert fault is not None
    assert [text == "maybe" for text in texts] == fault.to_list()


def test_a_contract_says_what_is_true_and_what_is_false() -> None:
    one = column("boolean", "boolean", true=["Sworn"], false=["Civilian"])
    assert [True, False, FAULT] == read(one, "SWORN", "civilian", "Y")


def test_an_enums_values_and_synonyms_are_matched_without_case_and_blanks() -> None:
    assert ["Active", "Active", "Active", "Active", "Retired", None] == read(
        STATUS, "Active", " ACTIVE", "Act", "on  LEAVE", "retired", None
    )


def test_what_matches_no_value_stays_as_it_is() -> None:
    assert ["Actve", "Active"] == read(STATUS, "Actve", "active")


def test_an_allowed_value_wins_over_a_synonym() -> None:
    assert ["Retired"] == read(replace(STATUS, synonyms={"retired": "Active"}), "RETIRED")


def test_synonyms_of_a_typed_column_are_replaced_before_it_is_read() -> None:
    one = replace(column(kind="integer"), synonyms={"none": "0", "dozen": "12"})
    assert [0, 12, 5, FAULT] == read(one, "None", "DOZEN", "5", "many")


def test_the_enum_of_a_typed_column_is_of_its_values_and_suggests_nothing() -> None:
    plan = planned(replace(column(kind="integer"), enum=("1", "2")))
    assert [1, 7] == plan.normalise(batch({"x": ["1.0", "7"]}))["x"].to_list()
    assert () == plan.suggestions()


def test_strangers_are_suggested_to_people_and_not_replaced() -> None:
    plan = planned(STATUS)
    for _ in range(2):
        frame = plan.normalise(batch({"x": ["Actve", "retird", "zzz", "Actve", "Active", None]}))
    assert ["Actve", "retird", "zzz", "Actve", "Active", None] == frame["x"].to_list()
    assert (
        Suggestion("x", "Actve", 4, "Active", 90.9),
        Suggestion("x", "retird", 2, "Retired", 92.3),
        Suggestion("x", "zzz", 2),
    ) == plan.suggestions()


def test_the_nearest_spelling_may_be_a_synonym() -> None:
    plan = planned(STATUS)
    plan.normalise(batch({"x": ["on leeve"]}))
    assert ["Active"] == [suggestion.nearest for suggestion in plan.suggestions()]


@pytest.mark.parametrize("hidden", [{"classification": "restricted"}, {"protection": "hash"}])
def test_of_a_classified_column_only_the_count_is_told(hidden: Json) -> None:
    plan = planned(replace(STATUS, **hidden), token_key=b"key")
    plan.normalise(batch({"x": ["Actve", "Actve", "zzz"]}))
    assert (Suggestion("x", None, 3),) == plan.suggestions()


def test_what_is_too_varied_to_be_told_apart_is_counted_together() -> None:
    plan = planned(STATUS)
    plan.normalise(batch({"x": [f"stranger {number}" for number in range(REMEMBERED + 7)]}))
    suggestions = plan.suggestions()
    assert REMEMBERED + 1 == len(suggestions)
    assert Suggestion("x", None, 7) == suggestions[-1]


def test_a_column_without_an_enum_suggests_nothing() -> None:
    plan = planned(column("trim"))
    plan.normalise(batch({"x": ["a"]}))
    assert () == plan.suggestions()

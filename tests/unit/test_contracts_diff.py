from __future__ import annotations

import pytest

from contract_documents import column, loaded
from pipeline_processing.contracts.diff import diff


def test_a_contract_does_not_differ_from_itself() -> None:
    assert () == diff(loaded(column("a", required=True)), loaded(column("a", required=True)))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (column("a"), column("a", required=True), "required: False -> True"),
        (column("a"), column("a", "integer"), "logical_type: string -> integer"),
        (
            column("a", enum=[{"value": "x"}, {"value": "y"}]),
            column("a", enum=[{"value": "x"}]),
            "no longer allowed: y",
        ),
        (column("a"), column("a", enum=[{"value": "x"}]), "values are limited now"),
        (
            column("a", "integer", logicalTypeOptions={"minimum": 1}),
            column("a", "integer", logicalTypeOptions={"minimum": 2}),
            "the limit is tighter",
        ),
        (
            column("a", "date", logicalTypeOptions={"maximum": "2001-01-01"}),
            column("a", "date", logicalTypeOptions={"maximum": "2000-01-01"}),
            "the limit is tighter",
        ),
        (
            column("a", custom={"sources": ["A", "B"]}),
            column("a", custom={"sources": ["A"]}),
            "headers no longer read: B",
        ),
        (column("a"), column("a", custom={"normalise": ["upper"]}), "its values may come out otherwise"),
        (column("a"), column("a", custom={"protect": "hash"}), "its values are written otherwise"),
        (column("a"), column("a", primaryKey=True), "rows are told apart"),
        (column("a"), column("b"), "is gone (who reads it finds it no more)"),
    ],
)
def test_a_change_that_breaks_comes_first_and_says_why(old: object, new: object, what: str) -> None:
    first = diff(loaded(old), loaded(new))[0]

    assert first.breaking
    assert what in str(first)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (column("a", required=True), column("a")),
        (column("a"), column("a", description="more")),
        (column("a", enum=[{"value": "x"}]), column("a", enum=[{"value": "x"}, {"value": "y"}])),
        (column("a", enum=[{"value": "x"}]), column("a")),
        (
            column("a", "integer", logicalTypeOptions={"minimum": 2}),
            column("a", "integer", logicalTypeOptions={"minimum": 1}),
        ),
        (column("a", custom={"sources": ["A"]}), column("a", custom={"sources": ["A", "B"]})),
        (column("a"), column("a", classification="confidential")),
    ],
)
def test_a_change_that_only_allows_more_breaks_nothing(old: object, new: object) -> None:
    changes = diff(loaded(old), loaded(new))

    assert changes
    assert [] == [change for change in changes if change.breaking]


def test_a_new_column_breaks_only_where_it_is_required() -> None:
    old = loaded(column("a"))

    assert [False] == [one.breaking for one in diff(old, loaded(column("a"), column("b")))]
    assert [True] == [one.breaking for one in diff(old, loaded(column("a"), column("b", required=True)))]


def test_checks_that_come_go_and_grow_graver_are_told() -> None:
    rule = {"name": "r", "expression": "a = 'x'", "action": "warn"}
    plain, warned = loaded(column("a")), loaded(column("a"), custom={"rowRules": [rule]})
    grave = loaded(column("a"), custom={"rowRules": [{**rule, "action": "fail_file"}]})

    assert [("check r", False)] == [(one.place, one.breaking) for one in diff(plain, warned)]
    assert [("check r", True)] == [(one.place, one.breaking) for one in diff(plain, grave)]
    assert ["check r: action: warn -> fail_file (it does more than before)"] == [
        str(one) for one in diff(warned, grave)
    ]
    assert [("check r", False)] == [(one.place, one.breaking) for one in diff(grave, plain)]


def test_changes_of_the_tables_own_rules_are_told() -> None:
    old = loaded(column("a"), custom={"quarantine": {"maxShare": 0.5}})
    new = loaded(
        column("a"), custom={"quarantine": {"maxShare": 0.1}, "dedupe": {"key": ["a"]}, "unknownColumns": "fail_file"}
    )

    assert {"dedupe", "unknown_columns", "quarantine"} == {one.place for one in diff(old, new) if one.breaking}

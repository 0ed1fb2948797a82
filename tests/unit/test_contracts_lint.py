from __future__ import annotations

import pytest

from contract_documents import column, document
from pipeline_processing.contracts.lint import lint

KEY = column("id", primaryKey=True, required=True)


def _warnings(*columns: object, **parts: object) -> list[str]:
    _, faults, warnings = lint(document(*columns, **parts))
    assert () == faults
    return [str(warning) for warning in warnings]


def test_a_contract_with_nothing_odd_gives_no_warning() -> None:
    assert [] == _warnings(KEY, column("born", "date", classification="confidential", custom={"normalise": ["date"]}))


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (
            column("a", classification="restricted"),
            "a.classification: its values are restricted, and are written in the",
        ),
        (column("a", custom={"protect": "hash"}), "a: it is protected, but not classified"),
        (column("home_phone"), "home_phone: its name is that of personal data"),
        (column("a", primaryKey=True), "a.required: a column of the primary key may be null"),
        (column("seen", "date"), "seen: no format of its dates is said"),
        (column("a", partitioned=True), "a.required: rows may have no partition"),
        (column("a", transformLogic="b + 1"), "a.transformLogic: it is described, not executed"),
        (column("a", enum=[{"value": "x"}]), "a.enum: enum is of v3.2.0 of the standard"),
        (column("a", examples=["y"], logicalTypeOptions={"pattern": "^x"}), "a.examples.1: the example does not fit"),
        (column("a", examples=["xyz"], logicalTypeOptions={"maxLength": 2}), "a.examples.1: the example does not fit"),
        (
            column("a", "integer", examples=[1, 9], logicalTypeOptions={"maximum": 5}),
            "a.examples.2: the example does not",
        ),
        (
            column("a", "number", examples=["many"]),
            "a.examples.1: the example does not fit the column: it is no number",
        ),
        (column("x", "integer", custom={"derive": "LENGTH(who)"}), "x: it is made of who, which is classified"),
    ],
)
def test_what_is_odd_about_a_column_is_warned_of(one: object, what: str) -> None:
    said = _warnings(KEY, column("who", classification="confidential"), one)

    assert any(line.startswith(f"schema.people.properties.{what}") for line in said)


def test_what_is_odd_about_a_table_is_warned_of() -> None:
    said = _warnings(column("a"), custom={"references": [{"name": "r", "path": "r.csv"}]})

    assert [
        "schema.people: it has no primary key (primaryKey: true on the columns that tell rows apart)",
        "schema.people.customProperties.references.r: no column looks anything up in it (leave it out)",
        "schema.people: no check does more than warn (action: quarantine, fail_file or fail_run where it matters)",
    ] == said


def test_faults_and_warnings_stand_side_by_side() -> None:
    _, faults, warnings = lint(document(column("a"), column("b", "no such type")))

    assert ["schema.people.properties.b.logicalType"] == [fault.place for fault in faults]
    assert "schema.people" in [warning.place for warning in warnings]


def test_a_dedupe_without_an_order_is_not_odd_for_the_file_has_one() -> None:
    assert [] == _warnings(KEY, column("badge"), custom={"dedupe": {"key": ["badge"]}})

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract_documents import check, column, faults_of, loaded
from pipeline_processing.contracts.model import Threshold

if TYPE_CHECKING:
    from pathlib import Path


def _checked(kind: str = "string", **quality: object) -> object:
    return column("a", kind, quality=[quality])


@pytest.mark.parametrize(
    "operator", [{"mustBe": 0}, {"mustBeLessThan": 1}, {"mustBeLessOrEqualTo": 0}, {"mustBe": 0, "unit": "percent"}]
)
def test_a_metric_that_allows_none_is_the_columns_own_rule_row_by_row(operator: dict[str, object]) -> None:
    contract = loaded(_checked(metric="nullValues", **operator))

    assert contract.column("a").required
    assert ("required", "quarantine", None) == (
        check(contract, "a.required").kind,
        check(contract, "a.required").action,
        check(contract, "a.required").threshold,
    )


def test_a_metric_that_allows_some_is_a_figure_of_the_file() -> None:
    contract = loaded(_checked(metric="nullValues", mustBeLessThan=5, unit="percent"))

    assert not contract.column("a").required
    assert ("metric", "fail_file", Threshold("<", (5,), "percent"), {"metric": "nullValues"}) == (
        check(contract, "a.nullValues").kind,
        check(contract, "a.nullValues").action,
        check(contract, "a.nullValues").threshold,
        check(contract, "a.nullValues").arguments,
    )


def test_valid_values_become_the_columns_list_under_the_checks_own_name() -> None:
    contract = loaded(
        _checked(
            name="known", metric="invalidValues", arguments={"validValues": ["F", "M"]}, mustBe=0, severity="warning"
        )
    )

    assert ("F", "M") == contract.column("a").enum
    assert ["known"] == [one.name for one in contract.checks]
    assert ("enum", "warn", "warning") == (
        check(contract, "known").kind,
        check(contract, "known").action,
        check(contract, "known").severity,
    )


def test_a_pattern_of_a_check_becomes_the_columns() -> None:
    contract = loaded(_checked(metric="invalidValues", arguments={"pattern": "^x"}, mustBe=0))

    assert "^x" == contract.column("a").pattern
    assert "pattern" == check(contract, "a.pattern").kind


def test_a_check_of_invalid_values_without_arguments_is_about_the_columns_list() -> None:
    contract = loaded(
        column("a", "integer", enum=[{"value": 1}], quality=[{"metric": "invalidValues", "mustBeLessThan": 5}]),
    )

    assert {"metric": "invalidValues", "validValues": [1]} == check(contract, "a.invalidValues").arguments


def test_a_rule_that_is_stated_twice_is_one_check() -> None:
    contract = loaded(
        column("a", required=True, unique=True, quality=[{"name": "given", "metric": "nullValues", "mustBe": 0}])
    )

    assert ["a.unique", "given"] == [one.name for one in contract.checks]


@pytest.mark.parametrize(
    ("severity", "rows", "figure"),
    [
        (None, "quarantine", "fail_file"),
        ("error", "quarantine", "fail_file"),
        ("warning", "warn", "warn"),
        ("info", "warn", "warn"),
    ],
)
def test_severity_says_what_a_check_does(severity: str | None, rows: str, figure: str) -> None:
    said = {"severity": severity} if severity else {}
    contract = loaded(
        column("a", quality=[{"metric": "nullValues", "mustBe": 0, **said}]),
        quality=[{"metric": "rowCount", "mustBeGreaterThan": 0, **said}],
    )

    assert (rows, figure) == (check(contract, "a.required").action, check(contract, "rowCount").action)


def test_an_action_of_its_own_overrides_the_severity() -> None:
    custom = [{"property": "action", "value": "fail_run"}]
    contract = loaded(column("a"), quality=[{"metric": "rowCount", "mustBeGreaterThan": 0, "customProperties": custom}])

    assert "fail_run" == check(contract, "rowCount").action


def test_a_query_gets_its_table_and_column_whatever_the_placeholders_are_called() -> None:
    contract = loaded(
        column("my col", quality=[{"type": "sql", "query": "SELECT COUNT(${property}) FROM ${object};", "mustBe": 0}]),
        quality=[
            {"name": "q", "type": "sql", "query": "select count(*) from people where 1 = 1", "mustBeGreaterThan": 0}
        ],
    )

    assert 'SELECT COUNT("my col") FROM {table}' == check(contract, "my col.sql").expression
    assert "select count(*) from {table} where 1 = 1" == check(contract, "q").expression


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("DELETE FROM {table}", "it is not a query: it has DELETE"),
        ("WITH x AS (SELECT 1) INSERT INTO {table} SELECT * FROM x", "it is not a query: it has INSERT"),
        ("SELECT 1 FROM {table}; SELECT 2 FROM {table}", "it is more than one query"),
        ("SELECT COUNT(*) FROM {table} -- ; DROP TABLE x\n; DROP TABLE y", "it is not a query: it has DROP"),
        ("SELECT COUNT(*) FROM read_csv('/etc/passwd')", "it reads files"),
        ("SELECT COUNT(*) FROM '/etc/passwd', {table}", "it reads files"),
        ("SELECT COUNT(*) FROM \"read_csv\"('/etc/passwd'), {table}", "it reads files"),
        ("SELECT COUNT(*) FROM `read_csv` ('/etc/passwd'), {table}", "it reads files"),
        ("SELECT COUNT(*) FROM other", "it does not read the table"),
        ("SELECT COUNT(*) FROM {table} WHERE a = ${X}", "there is no placeholder ${X}"),
        ("SELECT COUNT({column}) FROM {table}", "it names {column}, but stands at the table"),
        ("SELECT a FROM {table}", "it gives String, not a number"),
        ("SELECT COUNT(*), 1 AS b FROM {table}", "it gives 2 columns, not one number"),
        ("SELECT COUNT(nobody) FROM {table}", "it does not run"),
        ("SELECT RANDOM() FROM {table}", "it gives another result each time"),
        ("EXPLAIN SELECT 1", "it is not a query"),
        ("", "is empty"),
    ],
)
def test_what_is_no_query_of_the_table_is_refused(query: str, what: str) -> None:
    said = faults_of(column("a"), quality=[{"name": "q", "type": "sql", "query": query, "mustBe": 0}])

    assert [True] == [what in line for line in said]
    assert said[0].startswith("schema.people.quality.q.query: ")


def test_words_in_texts_are_no_statements() -> None:
    query = "SELECT COUNT(*) FROM {table} WHERE a = 'drop; delete' -- insert"

    assert (
        query
        == check(
            loaded(column("a"), quality=[{"name": "q", "type": "sql", "query": query, "mustBe": 0}]), "q"
        ).expression
    )


def test_a_check_for_people_is_kept_and_does_nothing() -> None:
    contract = loaded(column("a", quality=[{"type": "text", "description": "looks right"}]))

    assert ("text", "warn", "looks right") == (
        check(contract, "a.text").kind,
        check(contract, "a.text").action,
        check(contract, "a.text").description,
    )


@pytest.mark.parametrize(
    ("quality", "what"),
    [
        ({"type": "custom", "engine": "soda", "implementation": "x"}, "checks of other engines are not supported"),
        ({"metric": "averageValues", "mustBe": 0}, "'averageValues' is not supported"),
        ({"metric": "nullValues"}, "it has no operator"),
        ({"metric": "nullValues", "mustBe": 0, "mustNotBe": 1}, "mustBe and mustNotBe are both given"),
        ({"metric": "nullValues", "mustBe": "none"}, "'none' is not a number: metrics count"),
        ({"metric": "nullValues", "mustBeBetween": [5, 1]}, "mustBeBetween begins with the larger number"),
        ({"metric": "nullValues", "mustBeBetween": [5]}, "needs at least 2 values"),
        ({"metric": "nullValues", "mustBe": 0, "unit": "files"}, "'files' is not supported"),
        ({"metric": "nullValues", "mustBe": 0, "severity": "critical"}, "'critical' is not supported"),
        ({"metric": "nullValues", "mustBe": 0, "dimension": "beauty"}, "'beauty' is not supported"),
        ({"metric": "nullValues", "mustBe": 0, "arguments": {"x": 1}}, "nullValues has no argument x here"),
        ({"metric": "nullValues", "mustBe": 0, "query": "SELECT 1"}, "belongs to checks of type sql"),
        ({"metric": "invalidValues", "mustBe": 0}, "invalidValues needs validValues or pattern"),
        ({"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": "F"}}, "a list was expected"),
        ({"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": [1]}}, "1 is not a value of a column"),
        ({"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": "("}}, "the pattern is not valid"),
        ({"metric": "missingValues", "mustBe": 0}, "missingValues needs missingValues"),
        ({"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["a"]}}, "no argument properties"),
        ({"metric": "rowCount", "mustBe": 1}, "rowCount is a check of the table"),
        ({"type": "text", "mustBe": 1}, "a check of type text is for people alone"),
        ({"type": "sql", "mustBe": 1}, "the query is missing"),
        ({"type": "library", "mustBe": 1}, "it says not what is checked"),
        ({"mustBe": 1}, "it says not what is checked"),
        (
            {"metric": "nullValues", "mustBe": 5, "customProperties": [{"property": "action", "value": "quarantine"}]},
            "this check names no rows to quarantine",
        ),
        (
            {"type": "sql", "query": "SELECT COUNT(*) FROM {table}", "mustBe": 0,
             "customProperties": [{"property": "action", "value": "quarantine"}]},
            "a query names no rows to quarantine",
        ),
        (
            {"metric": "nullValues", "mustBe": 0, "customProperties": [{"property": "acton", "value": "warn"}]},
            "the custom property acton is not known (did you mean action?)",
        ),
    ],
)  # fmt: skip
def test_what_a_check_may_not_say_is_refused(quality: dict[str, object], what: str) -> None:
    said = faults_of(column("a", quality=[quality]))

    assert any(what in line for line in said)
    assert {"schema.people.properties.a.quality"} == {".".join(line.split(".")[:5]).partition(":")[0] for line in said}


def test_two_lists_of_values_are_refused() -> None:
    one = column(
        "a",
        enum=[{"value": "x"}],
        quality=[{"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["y"]}}],
    )

    assert any("the column has another list of values" in line for line in faults_of(one))


def test_duplicates_of_a_table_are_told_by_columns_that_exist() -> None:
    good = {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["a", "b"]}}

    contract = loaded(column("a"), column("b"), quality=[good])

    assert {"metric": "duplicateValues", "properties": ["a", "b"]} == check(contract, "duplicateValues").arguments
    assert any("there is no column 'b'" in line for line in faults_of(column("a"), quality=[good]))


def test_checks_without_a_name_are_told_apart() -> None:
    twice = [{"metric": "rowCount", "mustBeGreaterThan": 1}, {"metric": "rowCount", "mustBeLessThan": 9}]

    assert ["rowCount", "rowCount_2"] == [one.name for one in loaded(column("a"), quality=twice).checks]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT(*) FROM {table} WHERE '/*' = '/*' AND 1 IN (SELECT a FROM read_csv('PATH')) OR '*/' = ''",
        "SELECT MAX(a) + 0 * LENGTH('--{table}') FROM read_csv('PATH')",
        "SELECT COUNT(*) AS \"'\" FROM read_csv('PATH') AS \"'{table}\"",
    ],
)
def test_a_query_that_hides_its_file_from_the_eye_is_refused_by_its_plan(query: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n41\n")

    said = faults_of(
        column("a"), quality=[{"name": "q", "type": "sql", "query": query.replace("PATH", str(path)), "mustBe": 0}]
    )

    assert ["schema.people.quality.q.query: it reads files"] == [line[:45] for line in said]

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from pipeline_processing.contracts.model import Check, Column, Contract, QuarantinePolicy, Threshold, fault
from pipeline_processing.quality.checks import compile_checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_processing.contracts.model import Action, CheckKind, Severity
    from pipeline_processing.quality.verdict import CheckResult, Verdict

TODAY = date(2030, 1, 31)


def contract(*columns: Column, checks: Sequence[Check] = (), max_share: float = 1.0) -> Contract:
    policy = QuarantinePolicy(max_share)
    return Contract("c", "1.0.0", "people", columns, tuple(checks), "0" * 16, quarantine=policy)


def frame(**columns: pl.Series | Sequence[object]) -> pl.DataFrame:
    height = max((len(values) for values in columns.values()), default=0)
    rows = pl.Series("_row", range(1, height + 1), pl.UInt64)
    return pl.DataFrame(columns).with_columns(rows, rows.alias("_line"))


def run(of: Contract, rows: pl.DataFrame, *, batch: int = 2, quarantined: int = 0) -> tuple[Verdict, pl.DataFrame]:
    checks = compile_checks(of, today=TODAY)
    for piece in rows.iter_slices(batch):
        checks.observe(checks.masked(piece))
    failing = checks.whole_file(rows.lazy())
    checks.measure(rows.lazy())
    return checks.verdict(rows=len(rows), quarantined=quarantined), failing


def result_of(
    column: Column, check: Check, values: Sequence[Any], dtype: pl.DataType | type[pl.DataType] | None = None
) -> CheckResult:
    rows = frame(**{column.name: pl.Series(values, dtype=dtype)})
    return run(contract(column, checks=[check]), rows)[0].results[0]


def failing_rows(of: Contract, rows: pl.DataFrame) -> list[int]:
    checks = compile_checks(of, today=TODAY)
    masked = rows.with_columns(checks.masks)
    return (
        masked.filter(pl.any_horizontal(*(mask.meta.output_name() for mask in checks.masks)))
        .get_column("_row")
        .to_list()
    )


def counts(result: CheckResult) -> tuple[str, int, int]:
    return result.status, result.looked_at, result.failed


def test_a_null_fails_required_alone() -> None:
    column = Column("a", "string", enum=("x",), pattern="x", min_length=1)
    kinds = ("required", "enum", "pattern", "length")
    of = contract(column, checks=[Check(f"a.{kind}", kind, "a") for kind in kinds])
    verdict, _ = run(of, frame(a=["x", None]))
    assert [("failed", 2, 1), *[("passed", 1, 0)] * 3] == [counts(result) for result in verdict.results]


def test_a_masks_column_has_the_checks_name_and_no_null() -> None:
    of = contract(Column("a", "string", enum=("x",)), checks=[Check("a.enum", "enum", "a")])
    checks = compile_checks(of, today=TODAY)
    masked = frame(a=["x", "y", None]).with_columns(checks.masks)
    assert [False, True, False] == masked.get_column("a.enum").to_list()


@pytest.mark.parametrize(
    ("column", "kind", "values", "failing"),
    [
        (Column("a", "integer", minimum=1, maximum=3), "range", [0, 1, 3, 4], [1, 4]),
        (Column("a", "integer", exclusive_minimum=1, exclusive_maximum=3), "range", [1, 2, 3], [1, 3]),
        (Column("a", "number", minimum=0), "range", [0.0, float("nan"), float("inf"), -0.5], [2, 4]),
        (
            Column("a", "number", physical_type="decimal(9,2)", minimum="0.30"),
            "range",
            [Decimal("0.30"), Decimal("0.29")],
            [2],
        ),
        (Column("a", "date", maximum="2020-02-29"), "range", [date(2020, 2, 29), date(2020, 3, 1)], [2]),
        (
            Column("a", "timestamp", minimum="2020-01-01T00:00:00-06:00"),
            "range",
            [datetime(2020, 1, 1, 6, tzinfo=UTC), datetime(2020, 1, 1, 5, 59, tzinfo=UTC)],
            [2],
        ),
        (Column("a", "integer", multiple_of=5), "multiple_of", [10, 11, -5], [2]),
        (Column("a", "number", multiple_of=0.01), "multiple_of", [0.29, 1.001, float("inf")], [2, 3]),
        (Column("a", "string", min_length=2, max_length=3), "length", ["ä", "äö", "äöüß"], [1, 3]),
        (Column("a", "string", pattern=r"^\d{5}$"), "pattern", ["12345", "123456"], [2]),
        (Column("a", "integer", enum=("1", "2")), "enum", [1, 2, 3], [3]),
        (Column("a", "integer", enum=("1.0",), minimum="1.0"), "enum", [1, 2], [2]),
        (
            Column("a", "timestamp", enum=("2020-01-01T00:00:00Z",)),
            "enum",
            [datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)],
            [2],
        ),
        (Column("a", "boolean", enum=("true",)), "enum", [True, False], [2]),
        (Column("a", "time", maximum="12:00"), "range", [time(12), time(12, 0, 1)], [2]),
        (Column("a", "integer", pattern=r"^\d{5}$", min_length=5), "pattern", [12345, 1234], [2]),
        (Column("a", "integer", max_length=2), "length", [12, 123], [2]),
        (Column("a", "date", enum=("2020-01-01",)), "enum", [date(2020, 1, 1), date(2020, 1, 2)], [2]),
    ],
)
def test_a_row_fails_what_its_column_does_not_allow(
    column: Column, kind: CheckKind, values: list[Any], failing: list[int]
) -> None:
    of = contract(column, checks=[Check("a.check", kind, "a")])
    assert failing == failing_rows(of, frame(a=values))


def test_a_type_fault_is_looked_at_though_its_value_is_null() -> None:
    of = contract(Column("a", "integer"), checks=[Check("a.type", "type", "a")])
    rows = frame(a=[1, None, None]).with_columns(pl.Series(fault("type", "a"), [False, True, False]))
    assert ("failed", 2, 1) == counts(run(of, rows)[0].results[0])


def test_a_row_rule_that_gives_null_does_not_apply() -> None:
    of = contract(
        Column("start", "integer"),
        Column("end", "integer"),
        checks=[Check("order", "row", expression='"end" >= start')],
    )
    verdict, _ = run(of, frame(start=[1, 5, 1], end=[2, 4, None]))
    assert ("failed", 2, 1) == counts(verdict.results[0])


def test_current_date_is_the_day_of_the_run_and_stays_text_in_a_text() -> None:
    rule = Check("past", "row", expression="day <= CURRENT_DATE AND note <> 'CURRENT_DATE'")
    of = contract(Column("day", "date"), Column("note", "string"), checks=[rule])
    days = [TODAY, date(2030, 2, 1), TODAY]
    assert [2, 3] == failing_rows(of, frame(day=days, note=["", "", "CURRENT_DATE"]))


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("a > NOW()", "NOW gives another result each time"),
        ("SUM(a) > 1", "more than one row"),
        ("ROW_NUMBER() OVER (PARTITION BY a) = 1", "more than one row"),
        ("LAG(a) > 1", "not an expression|more than one row"),
        ("a > (SELECT 1)", "more than one row"),
        ("1 = 1", "reads no column"),
        ("a > RANDOM()", "another result each time"),
        ("a + 1", "not true or false"),
        ("b = 1", "it reads b: there is no such column"),
        ("a >", "not an expression that Polars reads"),
    ],
)
def test_a_row_rule_that_is_no_condition_on_one_row_is_refused_by_name(expression: str, says: str) -> None:
    of = contract(Column("a", "integer"), checks=[Check("rule", "row", expression=expression)])
    with pytest.raises(ConfigError, match=says) as caught:
        compile_checks(of, today=TODAY)
    assert "check rule" in str(caught.value)


@pytest.mark.parametrize(
    "check",
    [
        Check("number", "row", expression="CAST(a AS INT) > 0"),
        Check("sum", "sql", expression="SELECT SUM(CAST(a AS INT)) FROM {table}"),
    ],
)
def test_sql_that_stumbles_over_a_value_is_named_and_the_value_is_not(check: Check) -> None:
    with pytest.raises(ConfigError, match="stumbles over a value") as caught:
        run(contract(Column("a", "string", classification="secret"), checks=[check]), frame(a=["1", "123-45-6789"]))
    assert f"check {check.name}" in str(caught.value)
    told = [str(one) for one in (caught.value, caught.value.__cause__) if one is not None]
    assert not [text for text in told if "123-45-6789" in text]
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (Column("a", "boolean", enum=("perhaps",)), "enum"),
        (Column("a", "date", minimum="yesterday"), "range"),
        (Column("a", "string", pattern="("), "pattern"),
    ],
)
def test_a_rule_that_does_not_fit_its_columns_type_is_refused(column: Column, kind: CheckKind) -> None:
    with pytest.raises(ConfigError):
        compile_checks(contract(column, checks=[Check("a.rule", kind, "a")]), today=TODAY)


@pytest.mark.parametrize("name", ["a", "_row", "?type:a", "^.*$", "*"])
def test_a_check_may_not_be_taken_for_a_column(name: str) -> None:
    with pytest.raises(ConfigError, match="another name"):
        compile_checks(contract(Column("a", "string"), checks=[Check(name, "required", "a")]), today=TODAY)


def test_all_faults_of_a_contract_are_told_at_once() -> None:
    wrong = [Check("one", "row", expression="b"), Check("two", "pattern", "s"), Check("s", "required", "s")]
    with pytest.raises(ConfigError) as caught:
        compile_checks(contract(Column("s", "string", pattern="(?=x)"), checks=wrong), today=TODAY)
    told = str(caught.value)
    assert ["one", "two", "column's name"] == [name for name in ("one", "two", "column's name") if name in told]


def test_batches_do_not_change_what_is_counted() -> None:
    of = contract(Column("a", "integer", minimum=3), checks=[Check("a.range", "range", "a")])
    rows = frame(a=[*range(10), None])
    assert run(of, rows, batch=1)[0] == run(of, rows, batch=100)[0]


def test_every_row_of_a_repeated_key_fails_unique_nulls_aside() -> None:
    of = contract(Column("a", "string", unique=True), checks=[Check("a.unique", "unique", "a")])
    verdict, failing = run(of, frame(a=["x", "y", "x", None, None]))
    assert {"_row": [1, 3], "check": ["a.unique", "a.unique"]} == failing.to_dict(as_series=False)
    assert ("failed", 3, 2) == counts(verdict.results[0])
    assert pl.UInt64 == failing.schema["_row"]


def test_a_null_in_a_primary_key_fails_it() -> None:
    columns = (Column("a", "string", primary_key_position=1), Column("b", "integer", primary_key_position=2))
    of = contract(*columns, checks=[Check("key", "primary_key")])
    verdict, failing = run(of, frame(a=["x", "x", "x", "y"], b=[1, 1, 2, None]))
    assert [1, 2, 4] == failing.get_column("_row").to_list()
    assert ("failed", 4, 3) == counts(verdict.results[0])


def test_a_check_without_a_threshold_fails_at_the_first_row_and_one_with_it_at_its_figure() -> None:
    column, values = Column("a", "string"), ["x", None, None, "y"]
    half = Check("a.required", "required", "a", threshold=Threshold("<=", (50,), "percent"))
    two = Check("a.required", "required", "a", threshold=Threshold("<", (2,)))
    none = Check("a.required", "required", "a")
    assert ["passed", "failed", "failed"] == [result_of(column, one, values).status for one in (half, two, none)]


@pytest.mark.parametrize(
    ("action", "threshold", "absent"),
    [
        ("quarantine", None, 1),
        ("quarantine", Threshold("<", (5,)), 1),
        ("fail_file", None, 1),
        ("fail_file", Threshold("<", (5,)), 2),
        ("warn", None, 2),
    ],
)
def test_an_unreadable_value_is_absent_only_where_its_type_lets_it_through(
    action: Action, threshold: Threshold | None, absent: int
) -> None:
    checks = [Check("a.type", "type", "a", action, threshold=threshold), Check("a.required", "required", "a")]
    rows = frame(a=[1, None, None]).with_columns(pl.Series(fault("type", "a"), [False, True, False]))
    verdict, _ = run(contract(Column("a", "integer"), checks=checks), rows)
    assert [1, absent] == [result.failed for result in verdict.results]


@pytest.mark.parametrize(
    ("action", "severity", "status", "verdict"),
    [
        ("warn", "error", "warned", "warn"),
        ("warn", "info", "warned", "pass"),
        ("quarantine", "error", "failed", "warn"),
        ("fail_file", "error", "failed", "fail_file"),
        ("fail_run", "error", "failed", "fail_run"),
    ],
)
def test_the_action_decides_the_verdict(action: Action, severity: Severity, status: str, verdict: str) -> None:
    check = Check("a.required", "required", "a", action=action, severity=severity)
    found, _ = run(contract(Column("a", "string"), checks=[check]), frame(a=["x", None]))
    assert (status, verdict) == (found.results[0].status, found.status)


def test_the_checks_that_take_rows_out_are_those_of_rows_with_that_action() -> None:
    of = contract(
        Column("a", "string", unique=True),
        checks=[
            Check("a.required", "required", "a", action="warn"),
            Check("a.unique", "unique", "a"),
            Check("rows", "metric", arguments={"metric": "rowCount"}),
        ],
    )
    assert ("a.unique",) == compile_checks(of, today=TODAY).quarantining


def test_a_check_of_a_missing_column_is_skipped_and_never_green() -> None:
    of = contract(
        Column("a", "string"),
        Column("b", "string"),
        checks=[Check("a.enum", "enum", "a"), Check("both", "row", expression="a = b")],
    )
    checks = compile_checks(of, missing=("a",), today=TODAY)
    checks.observe(frame(a=[None], b=["x"]))
    verdict = checks.verdict(rows=1, quarantined=0)
    assert () == checks.masks
    assert ["skipped", "skipped"] == [result.status for result in verdict.results]
    assert [("not in the file: a",)] * 2 == [result.why for result in verdict.results]
    assert "warn" == verdict.status


def test_a_missing_required_column_fails_the_file() -> None:
    of = contract(Column("a", "string", required=True))
    verdict = compile_checks(of, missing=("a",), today=TODAY).verdict(rows=5, quarantined=0)
    assert ("fail_file", ("required column a is missing",)) == (verdict.status, verdict.because)


def test_a_query_is_skipped_where_it_reads_a_missing_column_and_not_where_it_names_one_alike() -> None:
    of = contract(
        Column("id", "integer"),
        Column("paid", "integer"),
        checks=[
            Check("one", "sql", expression="SELECT SUM(id) FROM {table}"),
            Check("two", "sql", expression="SELECT SUM(paid) - 1 FROM {table}"),
        ],
    )
    checks = compile_checks(of, missing=("id",), today=TODAY)
    rows = frame(id=pl.Series([None], dtype=pl.Int64), paid=[1])
    checks.observe(checks.masked(rows))
    checks.measure(rows.lazy())
    assert ["skipped", "passed"] == [result.status for result in checks.verdict(rows=1, quarantined=0).results]


def test_an_empty_file_is_skipped_and_never_green() -> None:
    of = contract(
        Column("a", "string"), checks=[Check("a.required", "required", "a"), Check("a.unique", "unique", "a")]
    )
    verdict, failing = run(of, frame(a=pl.Series([], dtype=pl.String)))
    assert ["skipped", "skipped"] == [result.status for result in verdict.results]
    assert ("warn", 0) == (verdict.status, len(failing))


def test_an_empty_file_has_a_row_count() -> None:
    rows = Check("rows", "metric", arguments={"metric": "rowCount"}, threshold=Threshold(">", (0,)), action="fail_file")
    verdict, _ = run(contract(Column("a", "string"), checks=[rows]), frame(a=pl.Series([], dtype=pl.String)))
    assert ("failed", 0.0, "fail_file") == (verdict.results[0].status, verdict.results[0].figure, verdict.status)


def test_a_file_without_checks_passes_only_where_it_has_rows() -> None:
    of = contract(Column("a", "string"))
    assert "pass" == run(of, frame(a=["x"]))[0].status
    assert "warn" == compile_checks(of, today=TODAY).verdict(rows=0, quarantined=0).status


def test_a_column_of_nulls_was_not_checked() -> None:
    result = result_of(Column("a", "string", enum=("x",)), Check("a.enum", "enum", "a"), [None, None], dtype=pl.String)
    assert ("skipped", ("no value to look at",)) == (result.status, result.why)


def test_a_text_for_people_is_skipped_without_a_warning() -> None:
    verdict, _ = run(contract(Column("a", "string"), checks=[Check("read me", "text")]), frame(a=["x"]))
    assert ("skipped", "pass") == (verdict.results[0].status, verdict.status)


def test_a_pass_that_was_left_out_is_skipped_and_never_green() -> None:
    of = contract(
        Column("a", "integer", unique=True),
        checks=[Check("a.unique", "unique", "a"), Check("q", "sql", expression="SELECT COUNT(*) FROM {table}")],
    )
    checks = compile_checks(of, today=TODAY)
    checks.observe(frame(a=[1]))
    verdict = checks.verdict(rows=1, quarantined=0)
    assert ["the whole file was not looked at", "it was not measured"] == [one.why[0] for one in verdict.results]
    assert "warn" == verdict.status


@pytest.mark.parametrize(("quarantined", "status"), [(0, "pass"), (1, "warn"), (2, "fail_file")])
def test_more_quarantined_rows_than_the_policy_allows_fail_the_file(quarantined: int, status: str) -> None:
    of = contract(Column("a", "integer"), max_share=0.25)
    assert status == run(of, frame(a=[1, 2, 3, 4]), quarantined=quarantined)[0].status


@pytest.mark.parametrize(
    ("arguments", "failed"),
    [
        ({"metric": "nullValues"}, 1),
        ({"metric": "missingValues", "missingValues": ["n/a", None]}, 2),
        ({"metric": "missingValues", "missingValues": ["n/a"]}, 1),
        ({"metric": "invalidValues", "validValues": ["a", "b"]}, 2),
        ({"metric": "invalidValues", "pattern": "^[ab]"}, 2),
        ({"metric": "duplicateValues"}, 2),
    ],
)
def test_a_library_metric_counts_its_rows(arguments: dict[str, Any], failed: int) -> None:
    check = Check("m", "metric", "a", arguments=arguments, threshold=Threshold("<=", (failed,)), action="fail_file")
    result = result_of(Column("a", "string"), check, ["a", "a", "b", "n/a", None, "c"])
    assert ("passed", 6, failed) == counts(result)


def test_duplicate_values_may_be_those_of_several_columns() -> None:
    check = Check("m", "metric", arguments={"metric": "duplicateValues", "properties": ["a", "b"]}, action="warn")
    verdict, _ = run(
        contract(Column("a", "integer"), Column("b", "integer"), checks=[check]), frame(a=[1, 1, 1], b=[1, 1, 2])
    )
    assert ("warned", 3, 2) == counts(verdict.results[0])


@pytest.mark.parametrize(
    "query", ["SELECT SUM(a) FROM {table}", "SELECT SUM({column}) FROM ${table}", "SELECT SUM(a) FROM people"]
)
def test_sql_gives_one_number_held_against_its_threshold(query: str) -> None:
    check = Check("q", "sql", "a", expression=query, threshold=Threshold("between", (5, 7)), action="fail_file")
    result = result_of(Column("a", "integer"), check, [1, 2, 3])
    assert ("passed", 6.0) == (result.status, result.figure)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a FROM {table} GROUP BY",
        "SELECT a, a AS b FROM {table}",
        "SELECT s FROM {table}",
        "DROP TABLE {table}",
        "SELECT COUNT(*) FROM read_csv('/etc/hostname')",
        "SELECT COUNT(*) FROM elsewhere",
        "SELECT COUNT(*) FROM {table} WHERE a < NOW()",
        "SELECT COUNT(*) FROM \"read_csv\"('/etc/hostname'), {table}",
        "SELECT COUNT(*) AS \"'\" FROM read_csv('/etc/hostname') AS \"'{table}\"",
        "SELECT RANDOM() FROM {table}",
        "SELECT COUNT(*) FROM {table}; SELECT 1",
        "SELECT COUNT(*) FROM ${X}",
    ],
)
def test_sql_that_is_no_query_of_one_number_over_the_file_is_refused(query: str) -> None:
    of = contract(Column("a", "integer"), Column("s", "string"), checks=[Check("q", "sql", expression=query)])
    with pytest.raises(ConfigError):
        compile_checks(of, today=TODAY)


def test_sql_of_several_rows_is_refused_when_it_gives_them() -> None:
    of = contract(Column("a", "integer"), checks=[Check("q", "sql", expression="SELECT a FROM {table}")])
    with pytest.raises(ConfigError, match="exactly one number"):
        run(of, frame(a=[1, 2]))


def test_freshness_is_the_age_of_the_newest_value_that_is_not_in_the_future() -> None:
    check = Check("fresh", "freshness", "a", threshold=Threshold("<=", (13.5,)))
    result = result_of(Column("a", "date"), check, [date(2030, 1, 17), date(2029, 1, 1), date(9999, 12, 31)])
    assert ("failed", 14.0) == (result.status, result.figure)


def test_a_threshold_on_rows_of_a_figure_without_rows_to_take_out_is_as_strong_as_its_severity() -> None:
    strong = Check("m", "metric", "a", arguments={"metric": "nullValues"})
    weak = Check("m", "metric", "a", arguments={"metric": "nullValues"}, severity="warning")
    of = [result_of(Column("a", "string"), check, ["x", None]) for check in (strong, weak)]
    assert [("failed", "fail_file"), ("warned", "warn")] == [(one.status, one.action) for one in of]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-3, 3)), max_size=30), st.integers(1, 7))
def test_masks_counts_and_rows_agree_whatever_the_values_and_batches(values: list[int | None], batch: int) -> None:
    column = Column("a", "integer", minimum=-1, maximum=1)
    rows = frame(a=pl.Series(values, dtype=pl.Int64))
    of = contract(column, checks=[Check("a.range", "range", "a")])
    verdict, _ = run(of, rows, batch=batch)
    outside = [n for n, value in enumerate(values, 1) if value is not None and not -1 <= value <= 1]
    assert outside == failing_rows(of, rows)
    assert (len(outside), sum(value is not None for value in values)) == (
        verdict.results[0].failed,
        verdict.results[0].looked_at,
    )


def test_checks_are_made_anew_for_each_file() -> None:
    of = contract(Column("a", "integer", minimum=1), checks=[Check("a.range", "range", "a")])
    first, second = (compile_checks(of, today=TODAY) for _ in range(2))
    first.observe(frame(a=[0]).with_columns(first.masks))
    told = [counts(one.verdict(rows=1, quarantined=0).results[0]) for one in (first, second)]
    assert [("failed", 1, 1), ("skipped", 0, 0)] == told

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_world import CONTRACT
from etl_core.errors import ConfigError
from pipeline_processing.jobs.backfill import Backfill
from pipeline_processing.processors.backfill.selection import (
    BATCH,
    KINDS,
    Judged,
    Selection,
    Today,
    decided,
    differences,
    instant,
    judge,
    predicate,
)
from pipeline_processing.processors.silver.item import SourceFile
from pipeline_processing.processors.silver.plan import Found
from pipeline_processing.settings import Settings
from pipeline_processing.tables.ledger import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

TODAY = Today("2.0.0", "new")
NEVER = "never published"


def record(**changes: Any) -> Record:  # noqa: ANN401 - any field
    fields = {
        "source_version": "v1",
        "contract": "1.0.0",
        "contract_fingerprint": "new",
        "code": "2.0.0",
        "run": "r1",
        "planned_at": "2030-01-01T00:00:00+00:00",
        "rows": 3,
    }
    return Record(**{**fields, **changes})


CURRENT = record()


def found(
    published: Record | None = CURRENT, *, key: str = "10/a.csv", modified: str = "2030-01-15T12:00:00+00:00"
) -> Found:
    file = SourceFile("bronze", key, "v1", 100, modified)
    return Found(key.partition("/")[0], file, published)


def why(one: Found, *, is_meant: bool = True, **selection: Any) -> tuple[str | None, str]:  # noqa: ANN401 - any part
    return Selection(**selection).why(one, TODAY, is_meant=is_meant)


@pytest.mark.parametrize(
    ("published", "because"),
    [
        (None, NEVER),
        (record(code="1.9.0"), "other code"),
        (record(contract_fingerprint="old"), "other contract"),
        (record(source_version="v0"), "other input"),
        (record(source_version="v0", code="1.9.0"), "other code, input"),
        (record(code="1.9.0,2.0.0"), "other code"),
    ],
)
def test_there_is_work_where_something_differs_from_today(published: Record | None, because: str) -> None:
    assert (None, because) == why(found(published))


def test_what_is_up_to_date_is_left_alone_unless_forced() -> None:
    assert ("up to date", "") == why(found())
    assert (None, "forced") == why(found(), is_forced=True)


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        (record(contract_fingerprint="old"), (None, "other contract")),
        (record(contract_fingerprint="old", code="1.9.0"), (None, "other contract")),
        (record(code="1.9.0"), ("up to date", "")),
        (CURRENT, ("up to date", "")),
        (None, ("not selected", "")),
    ],
)
def test_stale_looks_at_the_named_kinds_of_what_is_published(
    published: Record | None, expected: tuple[str | None, str]
) -> None:
    assert expected == why(found(published), stale=frozenset({"contract"}))


@pytest.mark.parametrize(
    ("since", "until", "is_in"),
    [
        ("2030-01-15T12:00:00Z", None, True),
        ("2030-01-15T12:00:01Z", None, False),
        (None, "2030-01-15T12:00:00Z", False),
        (None, "2030-01-15T12:00:01Z", True),
        ("2030-01-15", "2030-01-16", True),
        ("2030-01-15T13:00:00+01:00", None, True),
        (None, "2030-01-15T13:00:00+01:00", False),
    ],
)
def test_the_modified_time_is_bounded_half_open(since: str | None, until: str | None, *, is_in: bool) -> None:
    bounds = {"since": since and instant(since), "until": until and instant(until)}
    assert (None if is_in else "not selected") == why(found(), is_forced=True, **bounds)[0]


def test_parts_of_a_selection_narrow_each_other() -> None:
    stale = found(record(code="1.9.0"))
    assert "not selected" == why(stale, is_meant=False, stale=KINDS)[0]
    assert "not selected" == why(stale, since=instant("2030-02-01"), stale=KINDS)[0]
    assert "not selected" == why(found(), is_meant=False, is_forced=True)[0]


def test_a_date_is_its_first_moment_in_utc_and_a_time_may_have_a_zone() -> None:
    assert datetime(2030, 1, 31, tzinfo=UTC) == instant("2030-01-31")
    assert datetime(2030, 1, 31, 5, 30, tzinfo=UTC) == instant("2030-01-31T06:30:00+01:00")
    with pytest.raises(ValueError, match="soon"):
        instant("soon")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("size > 50", [True, True]),
        ("agency_id = '20'", [False, True]),
        ("source LIKE 's3://bronze/10/%'", [True, False]),
        ("modified >= '2030-01-15' AND modified < '2030-01-16'", [True, True]),
        ("code = '2.0.0'", [True, False]),
        ("code IS NULL", [False, True]),
        ("rows > 2 OR published_run IS NULL", [True, True]),
        ("published_version = version", [True, False]),
        ("contract IN ('1.0.0', '0.9.0')", [True, False]),
        ("source ~ 'b.csv$'", [False, True]),
    ],
)
def test_a_condition_is_told_for_each_file_from_its_facts(sql: str, expected: list[bool]) -> None:
    assert expected == predicate(sql)([found(), found(None, key="20/b.csv")])


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("size >", "not an expression"),
        ("sise > 1", "no such column"),
        ("size > 'x'", "cannot compare"),
        ("size > 1; drop table x", "not an expression"),
        ("size", "not true or false"),
        ("count(*) > 1", "it reads no column"),
        ("size > avg(size)", "more than one row"),
        ("row_number() OVER (ORDER BY size) < 3", "more than one row"),
        ("1 = 1", "it reads no column"),
        ("modified > CURRENT_TIMESTAMP", "another result each time"),
        ("modified > CURRENT_DATE", "CURRENT_DATE gives another result each time"),
    ],
)
def test_what_is_no_condition_on_single_files_is_refused_with_what_may_be_named(sql: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        predicate(sql)
    assert "agency_id, size, modified" in refused.value.way_out


def test_a_condition_that_one_file_does_not_bear_is_a_usage_error() -> None:
    with pytest.raises(ConfigError, match="can not be told for every file"):
        predicate("agency_id::int > 5")([found(key="ten/a.csv")])


async def stream(files: Sequence[Found]) -> AsyncIterator[Found]:
    for one in files:
        yield one


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1])
async def test_every_file_is_judged_once_in_order(count: int) -> None:
    files = [found(key=f"10/{number}.csv") for number in range(count)]
    selection = Selection(where="source LIKE '%7.csv'", is_forced=True)
    judged = [one async for one in judge(stream(files), selection, TODAY)]
    assert [one.file for one in files] == [one.file for one in judged]
    assert {one.file.key.endswith("7.csv") for one in judged if decided(one) is None} <= {True}
    assert sum(one.file.key.endswith("7.csv") for one in files) == sum(decided(one) is None for one in judged)


def test_what_was_not_judged_has_work() -> None:
    assert decided(found()) is None
    assert "up to date" == decided(Judged("10", found().file, CURRENT, "up to date"))


@given(st.sampled_from(["v1", "v0"]), st.sampled_from(["new", "old"]), st.sampled_from(["2.0.0", "1.0.0"]))
def test_differences_are_exactly_what_is_not_as_today(version: str, fingerprint: str, code: str) -> None:
    published = record(source_version=version, contract_fingerprint=fingerprint, code=code)
    expected = {
        kind
        for kind, is_other in (
            ("input", version == "v0"),
            ("contract", fingerprint == "old"),
            ("code", code == "1.0.0"),
        )
        if is_other
    }
    assert expected == differences(found(published), TODAY)


@pytest.fixture
def job(tmp_path: Path) -> Backfill:
    (tmp_path / "people.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
    settings = {"source_bucket": "bronze", "silver_bucket": "silver", "contracts_dir": tmp_path}
    return Backfill(Settings.model_validate(settings))


DATASET = ("--dataset", "people")


@pytest.mark.parametrize("arguments", [("--all-agencies",), ("--all-agencies", "--force")])
def test_everything_is_never_selected_by_accident(job: Backfill, arguments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="nothing is selected") as refused:
        job.parse([*DATASET, *arguments])
    assert "--all" in refused.value.way_out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--all-agencies", "--since", "2030-01-01"),
        ("--all-agencies", "--until", "2030-01-01"),
        ("--all-agencies", "--where", "size > 5"),
        ("--all-agencies", "--stale"),
        ("--all-agencies", "--pattern", "*.csv"),
        ("--all-agencies", "--all"),
        ("--force", "--all"),
        ("--agency-id", "10"),
        ("--agency-id", "10", "--force"),
    ],
)
def test_one_selection_is_enough(job: Backfill, arguments: tuple[str, ...]) -> None:
    assert "people" == job.parse([*DATASET, *arguments])["dataset"]


def test_equal_arguments_give_equal_specs_however_they_are_spelt(job: Backfill) -> None:
    one = job.parse([*DATASET, "--all-agencies", "--since", "2030-01-01", "--stale=input,code"])
    other = job.parse(["--all-agencies", *DATASET, "--stale=code,input", "--since", "2030-01-01T00:00:00Z"])
    assert one == other
    assert ["code", "input"] == one["stale"]
    assert "2030-01-01T00:00:00+00:00" == one["since"]


def test_a_spec_gives_the_selection_back(job: Backfill) -> None:
    spec = job.parse([*DATASET, "--all-agencies", "--until", "2030-01-02", "--where", "size > 5", "--stale"])
    expected = Selection(None, datetime(2030, 1, 2, tzinfo=UTC), "size > 5", KINDS, is_forced=False)
    assert expected == Selection.of(spec)
    assert Selection(is_forced=True) == Selection.of(job.parse([*DATASET, "--all", "--force"]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--all", "--stale", "--force"), "give one of the two"),
        (("--all", "--since", "2030-01-02", "--until", "2030-01-02"), "no time is in"),
        (("--all", "--where", "sise > 5"), "no such column"),
    ],
)
def test_a_selection_that_can_not_be_is_refused(job: Backfill, arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        job.parse([*DATASET, *arguments])


@pytest.mark.parametrize(("option", "value"), [("--since", "soon"), ("--stale", "colour"), ("--stale", ",")])
def test_a_value_that_is_none_is_a_usage_error(
    job: Backfill, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        job.parse([*DATASET, "--all-agencies", f"{option}={value}"])
    assert 2 == exited.value.code
    assert value in capsys.readouterr().err


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        Backfill(Settings.model_validate({"contracts_dir": tmp_path})).parse([*DATASET, "--all-agencies"])
    for fault in ("nothing is selected", "no source bucket", "no silver bucket", "people.odcs.yaml"):
        assert fault in str(refused.value)

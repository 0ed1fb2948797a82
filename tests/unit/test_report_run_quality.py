"""What a run's report says about rows, checks and files."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipeline_processing.processors.silver.run_quality import FILES_SHOWN, RunQuality
from pipeline_processing.quality.verdict import CheckResult, Verdict
from pipeline_processing.reports import run_quality
from quarantine_world import QuarantineWorld
from silver_world import CONTRACT, DIRTY, PEOPLE, SilverWorld

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_processing.model import Json

DRIFT = CONTRACT + "    customProperties:\n      - {property: drift, value: {rows: 0.25, action: warn}}\n"


def file(number: int, **more: Json) -> dict[str, Json]:
    counts = {"rows_in": number, "rows_out": 0, "quarantined": number, "deduplicated": 0}
    named = {"source_file": f"s3://bronze/{number:04}.csv", "agency_id": "10"}
    return {**named, "status": "refined", "verdict": "warn", "reason": "", **counts, **more}


def check(**more: Json) -> dict[str, Json]:
    plain = {"name": "id.type", "kind": "type", "status": "failed", "failed": 2, "looked_at": 9}
    return {**plain, "figure": None, "threshold": "", "why": [], "description": "", **more}


def quality(**more: Json) -> dict[str, Json]:
    return {"rows": {"rows_in": 9}, "checks": [check()], **more}


def test_the_files_with_most_quarantined_rows_are_told_and_the_others_counted() -> None:
    found = RunQuality(Verdict("pass")).as_json({}, [file(number) for number in range(FILES_SHOWN + 3)], ())
    assert (FILES_SHOWN, 3) == (len(found["files"]), found["files_not_shown"])
    assert FILES_SHOWN + 2 == found["files"][0]["quarantined"]
    assert 3 == found["files"][-1]["quarantined"]


def test_files_that_failed_come_before_those_that_say_nothing() -> None:
    unread = file(0, status="unreadable", verdict=None, reason="no reader", source_file="s3://bronze/z.csv")
    found = RunQuality(Verdict("pass")).as_json({}, [file(0), unread], ())
    assert [("unreadable", "no reader"), ("warn", "")] == [(one["verdict"], one["reason"]) for one in found["files"]]


def test_a_waived_rule_has_no_failed_row_and_its_rows_are_counted_apart() -> None:
    kept = CheckResult("id.type", "type", "failed", looked_at=9, failed=1)
    waived = CheckResult("hired.type", "type", "warned", action="warn", looked_at=9, failed=2)
    verdict = Verdict("warn", (kept, waived), 9, 1, ("hired.type: does not hold", "id.type: 1 row fails"))
    found = RunQuality()
    found.add({"verdict": verdict.as_json(), "quarantined_by": {"id.type": 1, "reader.ragged": 4}}, ["hired.type"])
    assert found.verdict is not None
    assert {"id.type": ("failed", 1), "hired.type": ("passed", 0)} == {
        one.name: (one.status, one.failed) for one in found.verdict.results
    }
    assert ("id.type: 1 row fails",) == found.verdict.because
    assert ({"hired.type": 2}, {"id.type": 1, "reader.ragged": 4}) == (found.waived, found.quarantined_by)


def test_a_figure_is_told_beside_what_was_asked_for() -> None:
    drifted = check(name="drift:unit.psi", kind="drift", status="warned", failed=0, figure=0.335, threshold="<= 0.25")
    assert "0.335, at most 0.25" == run_quality.found(drifted)
    assert "0.335, at most 0.25" in run_quality.section(quality(checks=[drifted]))
    assert "2 of 9" == run_quality.found(check())


@pytest.mark.parametrize(
    ("threshold", "words"), [(">= 5 percent", "at least 5 percent"), ("between 1 and 9", "between 1 and 9")]
)
def test_thresholds_are_spelt_for_people(threshold: str, words: str) -> None:
    assert f"7, {words}" == run_quality.found(check(figure=7, threshold=threshold))


def test_a_report_of_an_earlier_version_is_shown_without_files_and_rules() -> None:
    assert "" == run_quality.files(quality())
    assert "Quarantined by" not in run_quality.section(quality())
    assert {} == run_quality.rejected(quality())


def test_what_comes_from_elsewhere_is_quoted() -> None:
    evil = "<script>\x1b[31m"
    told = {**file(1), "source": evil, "agency_id": evil, "reason": evil, "verdict": evil}
    page = run_quality.files(quality(files=[told], files_not_shown=0))
    page += run_quality.section(quality(quarantined_by={evil: 1}, waived={evil: 1}))
    assert "<script>" not in page
    assert "\x1b" not in page


async def test_drift_stands_among_the_checks_and_is_no_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SilverWorld(tmp_path)
    world.contract.write_text(DRIFT)
    many = "".join(f"{number},P{number},2001-02-03\n" for number in range(1, 41))
    await world.bronze("10/people.csv", f"id,name,hired\n{many}")
    await world.run("r1")
    await world.clock.sleep(timedelta(days=1))
    await world.bronze("10/people.csv", PEOPLE)
    capsys.readouterr()
    assert 0 == await world.run("r2")
    report = await world.report("r2")
    assert [] == report["problems"]
    page = (await world.buckets.store("control").get("pipeline/runs/r2/report.html")).body.decode()
    assert "Inputs that failed" not in page
    assert "0.95, at most 0.25" in page
    assert "warned drift:rows: 0.95, at most 0.25" in capsys.readouterr().out


async def test_a_runs_files_and_its_readers_rejects_are_in_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SilverWorld(tmp_path)
    await world.bronze("10/people.csv", PEOPLE)
    await world.bronze("20/people.csv", DIRTY)
    assert 0 == await world.run("r1")
    told = (await world.report("r1"))["quality"]
    assert {"hired.type": 1, "id.type": 1, "reader.ragged": 1} == told["quarantined_by"]
    worst, good = told["files"]
    assert ("s3://bronze/20/people.csv", "20", "warn", 4, 1, 3, 0) == tuple(
        worst[name] for name in ("source", "agency_id", "verdict", "rows_in", "rows_out", "quarantined", "deduplicated")
    )
    assert "hired.type (1), id.type (1), reader.ragged (1)" == worst["reason"]
    assert ("s3://bronze/10/people.csv", "") == (good["source"], good["reason"])
    page = (await world.buckets.store("control").get("pipeline/runs/r1/report.html")).body.decode()
    assert page.index("s3://bronze/20/people.csv") < page.index("s3://bronze/10/people.csv")
    assert "reader.ragged" in page
    assert "quarantined reader.ragged: 1" in capsys.readouterr().out


async def test_rows_that_are_waived_do_not_fail_the_runs_checks(tmp_path: Path) -> None:
    world = await QuarantineWorld.after_run(tmp_path)
    await world.release("rel-1", "--waive", "hired.type", "--expires", "2031-01-01")
    await world.run("r2", "--force")
    told = (await world.report("r2"))["quality"]
    assert {"hired.type": 1} == told["waived"]
    (found,) = [one for one in told["checks"] if one["name"] == "hired.type"]
    assert ("passed", 0) == (found["status"], found["failed"])

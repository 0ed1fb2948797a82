"""The contracts of Chicago's tables on Chicago's tables: their real faults, found and counted."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pipeline_processing.contracts.load import load
from pipeline_processing.processors.refining.refine import refine

if TYPE_CHECKING:
    from pipeline_processing.processors.refining.refined import Refined

ROOT: Final = Path(__file__).parents[2]
CHICAGO: Final = ROOT / "../shared/data/chicago"

pytestmark = pytest.mark.skipif(not CHICAGO.is_dir(), reason="the real input (../shared/data/chicago) is not here")


def _refined(contract: str, file: str, into: Path) -> Refined:
    return refine(
        CHICAGO / file,
        load(ROOT / "contracts" / contract),
        into=into / "out",
        source=f"s3://agencies/{file}",
        source_version="1",
        agency_id="chicago",
        today=date(2018, 1, 1),
        footer={},
    )


def _failed(refined: Refined) -> dict[str, int]:
    """How many rows failed each check, thresholds aside."""
    return {one["name"]: one["failed"] for one in refined.verdict.as_json()["results"] if one["failed"]}


def test_the_roster_goes_to_silver_with_its_faults_counted(tmp_path: Path) -> None:
    refined = _refined("chicago_roster.odcs.yaml", "roster_1936-2017.csv.gz", tmp_path)

    assert (32_446, 32_438, 3, 5) == (refined.rows_in, refined.rows_out, refined.quarantined, refined.deduplicated)
    assert {"appointed after childhood": 1, "last_name.required": 1, "resignation_date.range": 1} == dict(
        refined.quarantined_by
    )
    assert {
        "last_name.required": 1,
        "first_name.required": 1,
        "birth_year.required": 2,
        "appointed_date.required": 6,
        "resignation_date.range": 1,
        "unit.missing": 892,
        "appointed after childhood": 1,
        "appointed at a usual age": 20,
        "appointed before resigned": 10,
        "active without resignation": 36,
        "resigned with a day": 501,
    } == _failed(refined)
    assert "warn" == refined.verdict.status
    assert ([], []) == (list(refined.missing), list(refined.unread))


def test_the_unit_history_goes_to_silver_with_its_faults_counted(tmp_path: Path) -> None:
    refined = _refined("chicago_unit_history.odcs.yaml", "unit_history_2016-12.csv.gz", tmp_path)

    assert (115_987, 114_235, 1_752, 0) == (
        refined.rows_in,
        refined.rows_out,
        refined.quarantined,
        refined.deduplicated,
    )
    assert {
        "unit.required": 842,
        "ends after it starts": 903,
        "starts after childhood": 7,
        "appointed after childhood": 1,
    } == dict(refined.quarantined_by)
    assert {
        "unit.required": 842,
        "birth_year.required": 2,
        "appointed_date.required": 6,
        "start_date.required": 2_103,
        "ends after it starts": 903,
        "cancelled the day it was made": 5_957,
        "starts after the appointment": 338,
        "starts after childhood": 7,
        "appointed after childhood": 1,
        "one unit at a time": 2_914,
    } == _failed(refined)
    assert "warn" == refined.verdict.status

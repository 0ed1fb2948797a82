from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_core.errors import ConfigError
from pipeline_processing.contracts.load import load
from pipeline_processing.contracts.model import Check, QuarantinePolicy, Threshold
from pipeline_processing.quarantine.decisions import DECISIONS, Ruling, active_waivers, decided
from pipeline_processing.quarantine.policy import check_waivable, for_release, waive
from silver_world import CONTRACT

if TYPE_CHECKING:
    from pipeline_processing.contracts.model import Contract

PEOPLE = load(CONTRACT)
STRICT = replace(
    PEOPLE,
    checks=(
        Check("id.required", "required", "id", action="fail_file", threshold=Threshold("<", (5,), "percent")),
        Check("hired.type", "type", "hired", action="quarantine"),
        Check("name.required", "required", "name", action="warn", threshold=Threshold("<", (3,))),
        Check("rows", "metric", action="fail_run", arguments={"metric": "rowCount"}),
        Check("note", "text"),
    ),
    quarantine=QuarantinePolicy(max_share=0.1, keep_raw=False),
    unknown_columns="fail_file",
)


def actions(contract: Contract) -> dict[str, str]:
    return {check.name: check.action for check in contract.checks}


def test_a_waived_rule_is_a_warning_and_nothing_else_changes() -> None:
    waived = waive(PEOPLE, {"hired.type", "a rule that is gone"})
    assert "warn" == actions(waived)["hired.type"]
    assert actions(PEOPLE) | {"hired.type": "warn"} == actions(waived)
    assert PEOPLE.fingerprint == waived.fingerprint
    assert PEOPLE is waive(PEOPLE, ())


def test_released_rows_are_held_to_the_row_checks_alone_and_each_fails_alone() -> None:
    released = for_release(STRICT)
    assert {"id.required": "quarantine", "hired.type": "quarantine", "name.required": "warn"} == actions(released)
    assert [None, None, Threshold("<", (3,))] == [check.threshold for check in released.checks]
    assert (1.0, False) == (released.quarantine.max_share, released.quarantine.keep_raw)
    assert "ignore" == released.unknown_columns
    assert "warn" == actions(for_release(STRICT, ["id.required"]))["id.required"]


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ("reader.ragged", "reader.ragged can not be waived: such a record is no row"),
        ("rows", "the contract has no row check called 'rows'"),
        ("hired.typo", "the contract has no row check called 'hired.typo'"),
    ],
)
def test_what_is_no_row_check_can_not_be_waived(rule: str, what: str) -> None:
    check_waivable(STRICT, ["hired.type"])
    with pytest.raises(ConfigError, match=what):
        check_waivable(STRICT, ["hired.type", rule])


ROWS = pl.DataFrame({"quarantine_id": ["q1", "q2"], "rules": [["a", "b"], ["a"]], "raw": ["{}", "{}"]})
RULING = Ruling("released", "why", "me", "2030-01-01T00:00:00+00:00", "rel-1", "r1")


def test_a_decision_names_the_rules_that_the_row_had_failed_and_a_waiver_those_it_waives() -> None:
    released = decided(ROWS, RULING, source="s3://in/a")
    assert DECISIONS == released.schema
    assert [["a", "b"], ["a"]] == released["rules"].to_list()
    waiver = replace(RULING, decision="waived", waived=("a",), expires_at="2030-06-01")
    assert [["a"], ["a"]] == decided(ROWS, waiver, source="s3://in/a")["rules"].to_list()


def test_waivers_hold_by_source_until_the_end_of_their_last_day_or_until_they_are_taken_back() -> None:
    def waiver(source: str, *rules: str, until: str, release: str = "w1") -> pl.DataFrame:
        ruling = replace(RULING, decision="waived", waived=rules, expires_at=until, release_id=release)
        return decided(ROWS, ruling, source=source)

    frames = [
        waiver("s3://in/b", "y", until="2030-02-01"),
        waiver("s3://in/a", "x", until="2030-02-02"),
        waiver("s3://in/a", "w", until="2030-03-01"),
        waiver("s3://in/a", "v", until="2030-03-01", release="gone"),
        decided(ROWS, RULING, source="s3://in/c"),
    ]
    assert {"s3://in/a": ("w", "x")} == active_waivers(frames, today=date(2030, 2, 2), rolled_back={"gone"})

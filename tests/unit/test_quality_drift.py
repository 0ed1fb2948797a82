from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline_processing.contracts.model import Drift
from pipeline_processing.quality.drift import drift, psi
from pipeline_processing.quality.profile import Profile, Profiler
from pipeline_processing.quality.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline_processing.contracts.model import Action
    from pipeline_processing.quality.verdict import CheckResult


def profile(columns: Mapping[str, Sequence[object]], *, classified: bool = False) -> Profile:
    frame = pl.DataFrame(columns)
    profiler = Profiler([(name, dtype, classified) for name, dtype in frame.schema.items()])
    profiler.update(frame)
    return profiler.result()


def normal(mean: float, rows: int = 5000, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, 10) for _ in range(rows)]


def by_name(results: Sequence[CheckResult]) -> dict[str, CheckResult]:
    return {result.name: result for result in results}


def test_the_index_is_the_textbooks_formula() -> None:
    p, q = (80.5 / 101, 20.5 / 101), (50.5 / 101, 50.5 / 101)
    expected = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert math.isclose(expected, psi([80, 20], [50, 50]))


def test_an_empty_bin_leaves_the_index_finite() -> None:
    assert math.isfinite(psi([100, 0], [0, 100]))


def test_without_an_old_profile_everything_is_skipped_and_nothing_green() -> None:
    results = drift(profile({"a": ["x"]}), None, Drift())
    assert {"skipped"} == {result.status for result in results}
    assert {"drift:rows", "drift:null_rate", "drift:psi", "drift:new_categories", "drift:lost_categories"} == set(
        by_name(results)
    )


def test_the_same_distribution_does_not_drift() -> None:
    results = drift(profile({"a": normal(50)}), profile({"a": normal(50, seed=2)}), Drift())
    assert {"passed"} == {result.status for result in results}


def test_a_moved_distribution_drifts() -> None:
    result = by_name(drift(profile({"a": normal(65)}), profile({"a": normal(50)}), Drift()))["drift:a.psi"]
    assert ("warned", "<= 0.25") == (result.status, result.threshold)
    assert result.figure is not None
    assert result.figure > 1


@pytest.mark.parametrize("seed", range(5))
def test_chance_alone_is_no_drift_in_the_smallest_file_that_is_compared(seed: int) -> None:
    few, many = ({"a": normal(50, rows, seed=seed + rows)} for rows in (200, 5000))
    assert "passed" == by_name(drift(profile(few), profile(many), Drift()))["drift:a.psi"].status


def test_few_values_are_not_compared() -> None:
    result = by_name(drift(profile({"a": normal(65, 199)}), profile({"a": normal(50)}), Drift()))["drift:a.psi"]
    assert ("skipped", ("fewer than 200 values to compare",)) == (result.status, result.why)


def test_new_and_lost_values_are_named() -> None:
    old, new = {"rank": ["PO"] * 90 + ["SGT"] * 20}, {"rank": ["PO"] * 90 + ["DET"] * 20}
    results = by_name(drift(profile(new), profile(old), Drift()))
    came, went = results["drift:rank.new_categories"], results["drift:rank.lost_categories"]
    assert [("warned", 1.0, "DET"), ("warned", 1.0, "SGT")] == [
        (r.status, r.figure, r.description) for r in (came, went)
    ]


def test_a_rare_value_that_a_small_file_lacks_is_not_lost() -> None:
    old, new = {"rank": ["PO"] * 990 + ["CHIEF"] * 10}, {"rank": ["PO"] * 100}
    results = by_name(drift(profile(new), profile(old), Drift(rows=None)))
    assert "passed" == results["drift:rank.lost_categories"].status


def test_a_category_that_bursts_has_new_values() -> None:
    old, new = {"rank": ["PO", "SGT"] * 60}, {"rank": [f"value {n}" for n in range(500)]}
    results = by_name(drift(profile(new), profile(old), Drift()))
    assert "warned" == results["drift:rank.new_categories"].status
    assert "skipped" == results["drift:rank.lost_categories"].status


def test_values_of_a_classified_column_are_neither_compared_nor_named() -> None:
    old, new = ({"ssn": [f"{start}-{n % 2}" for n in range(200)]} for start in ("111", "999"))
    results = drift(profile(new, classified=True), profile(old, classified=True), Drift())
    assert {"drift:rows", "drift:ssn.null_rate"} == set(by_name(results))
    assert "999" not in str(results)


@pytest.mark.parametrize(("nulls", "status"), [(10, "passed"), (21, "warned")])
def test_a_share_of_nulls_may_change_up_to_its_bound(nulls: int, status: str) -> None:
    old, new = {"a": ["x"] * 90 + [None] * 10}, {"a": ["x"] * (100 - nulls) + [None] * nulls}
    assert status == by_name(drift(profile(new), profile(old), Drift(null_rate=0.1)))["drift:a.null_rate"].status


@pytest.mark.parametrize(("rows", "status"), [(50, "passed"), (150, "passed"), (49, "warned"), (151, "warned")])
def test_the_number_of_rows_may_change_up_to_its_bound(rows: int, status: str) -> None:
    results = drift(profile({"a": ["x"] * rows}), profile({"a": ["x"] * 100}), Drift())
    assert status == by_name(results)["drift:rows"].status


def test_rows_are_compared_per_file() -> None:
    month = profile({"a": ["x"] * 100}).merge(profile({"a": ["x"] * 100}))
    assert 0.0 == by_name(drift(profile({"a": ["x"] * 100}), month, Drift()))["drift:rows"].figure


def test_a_column_that_is_new_or_of_another_kind_is_skipped() -> None:
    results = by_name(drift(profile({"a": [1], "b": [1]}), profile({"a": ["1"]}), Drift()))
    assert ("it was of kind string",) == results["drift:a.psi"].why
    assert ("no such column before",) == results["drift:b.psi"].why


def test_rules_that_are_none_are_not_looked_at() -> None:
    rules = Drift(psi=None, null_rate=None, rows=None, new_categories=False, lost_categories=False)
    assert () == drift(profile({"a": ["x"]}), profile({"a": ["y"]}), rules)


@pytest.mark.parametrize(
    ("action", "status"),
    [("warn", "warn"), ("fail_file", "fail_file"), ("fail_run", "fail_run"), ("quarantine", "warn")],
)
def test_drift_makes_a_verdict_as_bad_as_its_action(action: Action, status: str) -> None:
    results = drift(profile({"a": ["x"] * 10}), profile({"a": ["x"] * 100}), Drift(action=action))
    verdict = Verdict("pass", rows=10, files={"pass": 1}).widened(results)
    assert (status, {status: 1}) == (verdict.status, verdict.files)
    assert any("drift:rows" in why for why in verdict.because)

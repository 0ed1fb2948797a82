from __future__ import annotations

import json
from functools import reduce
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_processing.contracts.model import Threshold
from pipeline_processing.quality.verdict import CHECK_STATUSES, CheckResult, Verdict, concluded, holds, spelled

if TYPE_CHECKING:
    from pipeline_processing.contracts.model import Operator


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    names = draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True))
    results = []
    for name in names:
        status = draw(st.sampled_from(CHECK_STATUSES))
        looked = draw(st.integers(1, 9)) if status != "skipped" else 0
        figure = draw(st.sampled_from([None, 1.0, 2.0])) if status != "skipped" else None
        failed = draw(st.integers(0, looked))
        why = ("because",) if status == "skipped" else ()
        results.append(
            CheckResult(
                name, "range", status, looked_at=looked, failed=failed, figure=figure, why=why, files={status: 1}
            )
        )
    rows = draw(st.integers(0, 9))
    return concluded(results, rows=rows, quarantined=draw(st.integers(0, rows)), max_share=0.5, missing=())


def in_any_order(verdict: Verdict) -> Verdict:
    ordered = tuple(sorted(verdict.results, key=lambda result: result.name))
    return Verdict(verdict.status, ordered, verdict.rows, verdict.quarantined, verdict.because, verdict.files)


@pytest.mark.parametrize(
    ("operator", "values", "holding"),
    [
        ("=", (2,), [2]),
        ("!=", (2,), [1, 3, 4]),
        (">", (2,), [3, 4]),
        (">=", (2,), [2, 3, 4]),
        ("<", (2,), [1]),
        ("<=", (2,), [1, 2]),
        ("between", (2, 3), [2, 3]),
        ("not between", (2, 3), [1, 4]),
    ],
)
def test_a_threshold_holds_for_what_its_operator_says(
    operator: Operator, values: tuple[int, ...], holding: list[int]
) -> None:
    assert holding == [figure for figure in (1, 2, 3, 4) if holds(Threshold(operator, values), figure)]


def test_a_threshold_reads_like_a_sentence() -> None:
    thresholds = (Threshold("<=", (5,), "percent"), Threshold("between", (1, 9)), None)
    assert ["<= 5 percent", "between 1 and 9", ""] == [spelled(one) for one in thresholds]


@settings(deadline=None)
@given(verdicts())
def test_a_verdict_reads_back_as_it_was_written(verdict: Verdict) -> None:
    assert verdict == Verdict.from_json(json.loads(json.dumps(verdict.as_json())))


@settings(deadline=None)
@given(verdicts(), verdicts(), verdicts())
def test_verdicts_merge_alike_in_any_order_and_grouping(one: Verdict, two: Verdict, three: Verdict) -> None:
    left, right = one.merge(two).merge(three), one.merge(two.merge(three))
    assert left == right
    assert in_any_order(left) == in_any_order(three.merge(one).merge(two))


@settings(deadline=None)
@given(st.lists(verdicts(), min_size=1, max_size=5))
def test_a_run_is_as_bad_as_its_worst_file_and_counts_all(all_of: list[Verdict]) -> None:
    run = reduce(Verdict.merge, all_of)
    order = ("pass", "warn", "fail_file", "fail_run")
    assert max((one.status for one in all_of), key=order.index) == run.status
    assert len(all_of) == sum(run.files.values())
    assert sum(one.rows for one in all_of) == run.rows


@settings(deadline=None)
@given(verdicts())
def test_a_pass_has_no_reason_and_no_skipped_check_and_anything_else_has_one(verdict: Verdict) -> None:
    assert (verdict.status == "pass") == (not verdict.because)
    assert verdict.status != "pass" or all(result.status == "passed" for result in verdict.results)

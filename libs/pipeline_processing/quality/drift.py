"""How far a profile has moved from the last published one, by the contract's bounds. Pure.

The population stability index of a column is the sum over bins of (p - q) * ln(p / q), p the new share and q the old
one (Siddiqi, Credit Risk Scorecards, 2006, chapter 10); 0.1 and 0.25 are the customary bounds. Bins are the old
profile's deciles for ordered columns, the values of old and new for those whose values are all known. Half a value is
added to every bin (Jeffreys' prior), so that an empty one does not make the index infinite.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from pipeline_processing.quality.verdict import CheckResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline_processing.contracts.model import Drift
    from pipeline_processing.quality.profile import Profile
    from pipeline_processing.quality.profile_column import Column
    from pipeline_processing.quality.verdict import CheckStatus

_DECILES: Final = tuple(n / 10 for n in range(1, 10))
_SMOOTHING: Final = 0.5
CATEGORIES: Final = 200
"""A column with more values than this is no category."""
FEWEST: Final = 20
"""Values a bin that either profile must have: where nothing drifts, chance alone makes the index about
(bins - 1) * (1/n + 1/m) (Yurdakul and Naranjo, 2020), which is then below the customary 0.1."""
_EXPECTED: Final = 5
_NAMED: Final = 5
"""New or lost values that a result names."""


def drift(new: Profile, old: Profile | None, rules: Drift) -> tuple[CheckResult, ...]:
    """Return one result a rule and column, named ``drift:<rule>`` or ``drift:<column>.<rule>``.

    Without an old profile, or where a column has too few values to compare, the result is *skipped*. Results name new
    and lost values only of unclassified columns. `Verdict.widened` makes them part of a verdict.
    """
    wanted = tuple(_wanted(rules))
    if old is None:
        return tuple(_skipped(f"drift:{rule}", None, rules, "no profile was published before") for rule in wanted)
    results = [_rows(new, old, rules)] if rules.rows is not None else []
    for column in new.columns:
        before = old.column(column.name)
        for rule in wanted:
            if rule == "rows":
                continue
            if before is None or before.kind != column.kind:
                why = "no such column before" if before is None else f"it was of kind {before.kind}"
                results.append(_skipped(f"drift:{column.name}.{rule}", column.name, rules, why))
            elif (result := _of_column(rule, column, before, rules)) is not None:
                results.append(result)
    return tuple(results)


def psi(new: Sequence[float], old: Sequence[float]) -> float:
    """Return the population stability index of counts by bin, smoothed.

    >>> round(psi([80, 20], [50, 50]), 2)
    0.41
    """
    ours = [count + _SMOOTHING for count in new]
    theirs = [count + _SMOOTHING for count in old]
    shares = [(a / sum(ours), b / sum(theirs)) for a, b in zip(ours, theirs, strict=True)]
    return sum((p - q) * math.log(p / q) for p, q in shares)


def _wanted(rules: Drift) -> Iterator[str]:
    if rules.rows is not None:
        yield "rows"
    if rules.null_rate is not None:
        yield "null_rate"
    if rules.psi is not None:
        yield "psi"
    if rules.new_categories:
        yield "new_categories"
    if rules.lost_categories:
        yield "lost_categories"


def _rows(new: Profile, old: Profile, rules: Drift) -> CheckResult:
    """Compare rows a file, so that a month's profile may stand for what a file has."""
    if not old.rows:
        return _skipped("drift:rows", None, rules, "there were no rows before")
    ours, theirs = new.rows / new.files, old.rows / old.files
    return _result("drift:rows", None, rules, abs(ours - theirs) / theirs, rules.rows or 0.0)


def _of_column(rule: str, new: Column, old: Column, rules: Drift) -> CheckResult | None:
    name = f"drift:{new.name}.{rule}"
    match rule:
        case "null_rate":
            if not (new.rows and old.rows):
                return _skipped(name, new.name, rules, "no rows to compare")
            return _result(name, new.name, rules, abs(new.null_rate - old.null_rate), rules.null_rate or 0.0)
        case "psi":
            return _psi(name, new, old, rules)
        case "new_categories":
            return _categories(name, new, old, rules, is_new=True)
        case _:
            return _categories(name, new, old, rules, is_new=False)


def _psi(name: str, new: Column, old: Column, rules: Drift) -> CheckResult | None:
    bins = _shared_bins(new, old)
    if bins is None:
        return None
    counts, before = bins
    fewest = FEWEST * len(counts)
    if min(sum(counts), sum(before)) < fewest:
        return _skipped(name, new.name, rules, f"fewer than {fewest} values to compare")
    return _result(name, new.name, rules, psi(counts, before), rules.psi or 0.0)


def _shared_bins(new: Column, old: Column) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return how many values of both fall into the same bins; None of a column that has none that mean anything."""
    sketch, before = new.sketch(), old.sketch()
    if sketch is not None and before is not None and sketch.count and before.count:
        edges = sorted(set(before.quantiles(_DECILES)))
        return (
            [share * sketch.count for share in sketch.shares(edges)],
            [share * before.count for share in before.shares(edges)],
        )
    ours, theirs = _counts(new), _counts(old)
    if ours is None or theirs is None:
        return None
    values = sorted(ours.keys() | theirs.keys())
    return [ours.get(value, 0) for value in values], [theirs.get(value, 0) for value in values]


def _categories(name: str, new: Column, old: Column, rules: Drift, *, is_new: bool) -> CheckResult | None:
    """Return how many values came or went; None where the old column is no category.

    A value is lost only where `_EXPECTED` of it were to be expected: by chance it is away once in e^5 = 148 files.
    """
    before, after = _counts(old), _counts(new)
    if old.kind not in {"string", "boolean"} or before is None:
        return None
    if not before:
        return _skipped(name, new.name, rules, "there were no values before")
    if after is None and is_new:
        more = max(1, new.distinct_count - len(before))
        return _result(name, new.name, rules, float(more), 0.0, told="too many values to name")
    if after is None:
        return _skipped(name, new.name, rules, "too many values to tell")
    if is_new:
        moved = sorted(after.keys() - before.keys())
    else:
        ratio = (new.rows - new.nulls) / (old.rows - old.nulls)
        moved = sorted(value for value, count in before.items() if value not in after and count * ratio >= _EXPECTED)
    named = ", ".join(moved[:_NAMED]) + (", …" if len(moved) > _NAMED else "")
    return _result(name, new.name, rules, float(len(moved)), 0.0, told=named)


def _counts(column: Column) -> dict[str, int] | None:
    """Return every value's count of a column with few; None where there are many, or they must not be known."""
    if column.is_classified or not column.has_all_values or column.distinct_count > CATEGORIES:
        return None
    return dict(column.top(CATEGORIES))


def _result(name: str, column: str | None, rules: Drift, figure: float, bound: float, *, told: str = "") -> CheckResult:
    status: CheckStatus = "passed" if figure <= bound else "warned" if rules.action == "warn" else "failed"
    return CheckResult(
        name,
        "drift",
        status,
        column,
        severity="warning",
        action=_action(rules),
        looked_at=1,
        failed=0,
        figure=figure,
        threshold=f"<= {bound:g}",
        files={status: 1},
        description=told,
    )


def _skipped(name: str, column: str | None, rules: Drift, why: str) -> CheckResult:
    return CheckResult(
        name, "drift", "skipped", column, severity="warning", action=_action(rules), why=(why,), files={"skipped": 1}
    )


def _action(rules: Drift) -> str:
    """Return the action; a drift has no rows to take out, so *quarantine* is a warning."""
    return "warn" if rules.action == "quarantine" else rules.action

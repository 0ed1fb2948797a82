"""What the checks of a file, or of all files of a run, come to. Pure.

Status of a check, in one file:

- *skipped*: it looked at nothing, and ``why`` says so. Never green: where its severity is *error* the verdict is at
  least *warn*, but for text, which is for people.
- *passed*: no row fails, or its threshold holds.
- *warned*: it does not hold, and its action is *warn*.
- *failed*: it does not hold, and its action is a stronger one: rows taken out, the file or the run failed.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import asdict, dataclass, field, replace
from heapq import nsmallest
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline_processing.contracts.model import Check, Threshold
    from pipeline_processing.model import Json

Status = Literal["pass", "warn", "fail_file", "fail_run"]
"""A verdict, from good to bad."""
CheckStatus = Literal["passed", "skipped", "warned", "failed"]
"""What became of one check, from good to bad."""

STATUSES: Final[tuple[Status, ...]] = ("pass", "warn", "fail_file", "fail_run")
CHECK_STATUSES: Final[tuple[CheckStatus, ...]] = ("passed", "skipped", "warned", "failed")
_REASONS: Final = 20
"""Reasons that a merged verdict or result keeps, the first by the alphabet."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's result; of several files, once merged. It holds counts and names, no value of a classified column."""

    name: str
    kind: str
    status: CheckStatus
    column: str | None = None
    dimension: str | None = None
    severity: str = "error"
    action: str = "quarantine"
    looked_at: int = 0
    """Rows to which the check applies: those with a value, mostly."""
    failed: int = 0
    figure: float | None = None
    """What the threshold was held against, where it is no count of rows: an average, an age in days, a share."""
    threshold: str = ""
    why: tuple[str, ...] = ()
    """Why it was skipped."""
    files: Mapping[CheckStatus, int] = field(default_factory=dict)
    """How many files have which status."""
    description: str = ""

    def merge(self, other: CheckResult) -> CheckResult:
        """Return both files' result: the worse status, the sums; a figure only where all that looked have the same."""
        return replace(
            self,
            status=max(self.status, other.status, key=CHECK_STATUSES.index),
            looked_at=self.looked_at + other.looked_at,
            failed=self.failed + other.failed,
            figure=_common(self, other),
            why=_reasons((*self.why, *other.why)),
            files={s: n for s in CHECK_STATUSES if (n := self.files.get(s, 0) + other.files.get(s, 0))},
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a file, or on the ``files`` of a run once merged. ``because`` is empty for *pass* alone."""

    status: Status
    results: tuple[CheckResult, ...] = ()
    rows: int = 0
    quarantined: int = 0
    because: tuple[str, ...] = ()
    files: Mapping[Status, int] = field(default_factory=dict)
    """How many files have which status."""

    def merge(self, other: Verdict) -> Verdict:
        """Return the verdict on both: the worse status, each check's results merged by name.

        Associative, and commutative but for the order of the results, which is that of ``self`` first.
        """
        theirs = {result.name: result for result in other.results}
        merged = [r.merge(theirs.pop(r.name)) if r.name in theirs else r for r in self.results]
        return Verdict(
            max(self.status, other.status, key=STATUSES.index),
            (*merged, *theirs.values()),
            self.rows + other.rows,
            self.quarantined + other.quarantined,
            _reasons((*self.because, *other.because)),
            {s: n for s in STATUSES if (n := self.files.get(s, 0) + other.files.get(s, 0))},
        )

    def widened(self, more: Iterable[CheckResult]) -> Verdict:
        """Return the verdict on one file with more results, those of its drift: never a better one."""
        more = tuple(more)
        found = [why for result in more if (why := _weight(result)) is not None]
        status: Status = max((self.status, *(one for one, _ in found)), key=STATUSES.index)
        because = (*self.because, *(why for _, why in found))
        return replace(self, status=status, results=(*self.results, *more), because=because, files={status: 1})

    def as_json(self) -> dict[str, Json]:
        """Return what `from_json` reads back."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Verdict:
        """Return the verdict that `as_json` wrote."""
        results = tuple(CheckResult(**{**one, "why": tuple(one["why"])}) for one in value["results"])
        return cls(**{**value, "results": results, "because": tuple(value["because"])})


def holds(threshold: Threshold | None, figure: float) -> bool:  # noqa: PLR0911 - one return an operator
    """Say whether ``figure`` is what ``threshold`` asks for; without one, whether it is nought."""
    if threshold is None:
        return figure == 0
    low, high = threshold.values[0], threshold.values[-1]
    match threshold.operator:
        case "=":
            return bool(figure == low)
        case "!=":
            return bool(figure != low)
        case ">":
            return bool(figure > low)
        case ">=":
            return bool(figure >= low)
        case "<":
            return bool(figure < low)
        case "<=":
            return bool(figure <= low)
        case "between":
            return bool(low <= figure <= high)
        case "not between":
            return not low <= figure <= high


def spelled(threshold: Threshold | None) -> str:
    """Return a threshold for people: ``<= 5 percent``, ``between 1 and 9``; empty where there is none."""
    if threshold is None:
        return ""
    values = " and ".join(f"{value}" for value in threshold.values)
    return f"{threshold.operator} {values}{' percent' if threshold.unit == 'percent' else ''}"


def judged(check: Check, *, is_holding: bool, action: str) -> CheckStatus:
    """Return the status of a check that looked at something."""
    if is_holding:
        return "passed"
    return "warned" if action == "warn" or check.severity == "info" else "failed"


def concluded(
    results: Iterable[CheckResult], *, rows: int, quarantined: int, max_share: float, missing: Iterable[str]
) -> Verdict:
    """Return the verdict on a file: the worst of its checks, its missing required columns and its quarantined share."""
    results = tuple(results)
    found: list[tuple[Status, str]] = [("fail_file", f"required column {name} is missing") for name in sorted(missing)]
    found += [why for result in results if (why := _weight(result)) is not None]
    if not rows:
        found.append(("warn", "the file has no rows"))
    if quarantined:
        found.append(("warn", f"quarantined rows: {quarantined:,} of {rows:,}"))
    if quarantined > max_share * rows:
        found.append(("fail_file", f"more than {max_share:.4%} of the rows are quarantined"))
    found.sort(key=lambda one: STATUSES.index(one[0]), reverse=True)
    status: Status = found[0][0] if found else "pass"
    return Verdict(status, results, rows, quarantined, tuple(why for _, why in found), {status: 1})


def _weight(result: CheckResult) -> tuple[Status, str] | None:
    if result.status == "skipped" and result.severity == "error" and result.kind != "text":
        return "warn", f"{result.name}: skipped: {', '.join(result.why)}"
    if result.status == "warned" and result.severity != "info":
        return "warn", f"{result.name}: does not hold"
    if result.status == "failed":
        match result.action:
            case "fail_file" | "fail_run":
                return result.action, f"{result.name}: does not hold"
            case _:
                return "warn", f"{result.name}: {result.failed:,} {'row fails' if result.failed == 1 else 'rows fail'}"
    return None


def _common(one: CheckResult, other: CheckResult) -> float | None:
    """Return the figure that all files agree on that looked at something; None once two differ."""
    looked = [result for result in (one, other) if any(status != "skipped" for status in result.files)]
    figures = {result.figure for result in looked}
    return figures.pop() if len(figures) == 1 else None


def _reasons(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(nsmallest(_REASONS, set(reasons)))


def _plain(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value

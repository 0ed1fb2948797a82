"""A file's quality as rows for a terminal's tables: what `quality_page` shows, in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline_processing.quality.verdict import CHECK_STATUSES
from pipeline_processing.reports.quality_facts import WORDS, asks, cut, does, number, outcome, percent, some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline_processing.quality.profile import Profile
    from pipeline_processing.quality.profile_column import Column
    from pipeline_processing.quality.verdict import CheckResult, Verdict
    from pipeline_processing.reports.quality_facts import QualityPage

CHECK_COLUMNS: Final = ("check", "result", "what it asks", "found", "else")
REASON_COLUMNS: Final = ("rule", "rows", "for example rows", "what it asks")
STRANGER_COLUMNS: Final = ("column", "value that is not allowed", "rows", "did they mean")
PROFILE_COLUMNS: Final = ("column", "kind", "empty", "different", "lowest", "middle", "highest", "most frequent")
_EXAMPLES: Final = 5
_SHOWN: Final = 24
"""Characters of a value in a table."""


def pairs(page: QualityPage) -> Mapping[str, object]:
    """Return the facts, for `print_pairs`."""
    return {
        "file": page.file,
        "dataset": page.dataset,
        "contract": page.contract,
        "verdict": WORDS[page.verdict.status][1].lower(),
        "because": "\n".join(page.verdict.because) or None,
        "rows": f"{page.rows_in:,} in = {page.rows_out:,} {page.accepted} + {page.quarantined:,} in quarantine"
        f" + {page.deduplicated:,} repeated",
        "not data": ", ".join(f"{count:,} {why}" for why, count in page.skipped.items() if count) or None,
        "missing columns": some(page.missing) or None,
        "unread columns": some(page.unread) or None,
        **page.facts,
    }


def check_rows(verdict: Verdict, asked: Mapping[str, str] | None = None) -> Sequence[Sequence[object]]:
    """Return a row a check under `CHECK_COLUMNS`, the worst first; what did not drift is left out.

    ``asked`` is as in `QualityPage`.
    """
    shown = (one for one in verdict.results if one.kind != "drift" or one.status != "passed")
    ordered = sorted(shown, key=lambda result: (-CHECK_STATUSES.index(result.status), -result.failed))
    return [(one.name, one.status, _asks(one, asked or {}), outcome(one), does(one)) for one in ordered]


def _asks(result: CheckResult, asked: Mapping[str, str]) -> str:
    """Return the contract's words where it has any: a table has no room for both."""
    return asks(result) if result.kind == "drift" else result.description or asks(result, asked)


def reason_rows(page: QualityPage) -> Sequence[Sequence[object]]:
    """Return a row a quarantine rule under `REASON_COLUMNS`, the most rows first."""
    ordered = sorted(page.reasons, key=lambda reason: (-reason.rows, reason.rule))
    return [(one.rule, one.rows, page.places(one, _EXAMPLES), page.asks(one.rule)) for one in ordered]


def stranger_rows(page: QualityPage) -> Sequence[Sequence[object]]:
    """Return a row a value that is not allowed, under `STRANGER_COLUMNS`; none of a classified column."""
    return [
        (column, "all others" if one.value is None else repr(cut(one.value)), one.rows, one.meant or "")
        for column, found in page.strangers.items()
        if not page.hides(column)
        for one in found
    ]


def profile_rows(profile: Profile) -> Sequence[Sequence[object]]:
    """Return a row a column under `PROFILE_COLUMNS`; no value of a classified one."""
    return [_profile_row(column) for column in profile.columns]


def _profile_row(column: Column) -> Sequence[object]:
    sketch = column.sketch()
    middle = number(column.shown(sketch.quantiles((0.5,))[0])) if sketch is not None and sketch.count else ""
    filled = column.rows - column.nulls
    frequent = ", ".join(f"{_cut(value)} {percent(count, filled)}" for value, count in column.top(2) if count > 1)
    return (
        column.name,
        f"{column.kind} (classified)" if column.is_classified else column.kind,
        percent(column.nulls, column.rows),
        column.distinct_count,
        _cut(number(column.low)),
        middle,
        _cut(number(column.high)),
        frequent,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"

"""What a run's report shows of rows, checks and files, on a page and on a terminal. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from pipeline_processing.reports.quality_facts import TONES, WORDS, number
from pipeline_processing.reports.style import table_of
from pipeline_processing.reports.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline_processing.model import Json

_SPELT: Final = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than", "=": "exactly", "!=": "not"}
"""Operators of thresholds in words."""
_NUMERIC: Final = frozenset({"Rows that fail", "Of rows", "Rows", "In", "Out", "Quarantined", "Deduplicated"})


def found(check: Mapping[str, Json]) -> str:
    """Return what a check found: a figure beside what was asked for, or the rows that fail of those looked at."""
    if check["figure"] is None:
        return f"{check['failed']:,} of {check['looked_at']:,}"
    named = f" ({check['description']})" if check["kind"] == "drift" and check["description"] else ""
    return f"{number(check['figure'])}, {_spelt(check['threshold'])}{named}"


def rejected(quality: Mapping[str, Json]) -> dict[str, int]:
    """Return the quarantined rows by the rules that are no check of the contract: the reader's."""
    checks = {check["name"] for check in quality["checks"]}
    return {rule: count for rule, count in quality.get("quarantined_by", {}).items() if rule not in checks}


def section(quality: Mapping[str, Json]) -> str:
    """Return what became of the rows, and the checks that do not hold; those that passed are counted."""
    if not quality:
        return ""
    counts = "".join(
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{count:,}</dd>" for name, count in quality["rows"].items()
    )
    checks = quality["checks"]
    loud = [check for check in checks if check["status"] != "passed"]
    table = _table(("Check", "Result", "Rows that fail", "Of rows", "Note"), [*map(_check_row, loud)])
    passed = f'<p class="soft">{len(checks) - len(loud):,} of {len(checks):,} checks passed in all files.</p>'
    rules = _rules("Quarantined by", quality.get("quarantined_by", {})) + _rules("Waived", quality.get("waived", {}))
    return f"<section><h2>Rows and checks</h2><dl>{counts}</dl>{table}{passed}{rules}</section>"


def files(quality: Mapping[str, Json]) -> str:
    """Return the run's files, those with most quarantined rows first; nothing of a report that has none."""
    if not quality or not quality.get("files"):
        return ""
    columns = ("File", "Agency", "Verdict", "In", "Out", "Quarantined", "Deduplicated", "Reason")
    table = _table(columns, [*map(_file_row, quality["files"])])
    more = quality["files_not_shown"]
    note = f'<p class="soft">and {more:,} more files, with no more rows in quarantine than these</p>' if more else ""
    return f"<section><h2>Files</h2>{table}{note}</section>"


def _check_row(check: Mapping[str, Json]) -> str:
    is_figure = check["figure"] is not None
    rows = ("", "") if check["kind"] == "drift" else (f"{check['failed']:,}", f"{check['looked_at']:,}")
    cells = "".join(f'<td class="number">{count}</td>' for count in rows)
    note = "; ".join(check["why"]) or (found(check) if is_figure else check["description"])
    return (
        f"<tr><td>{_text(check['name'])}</td><td class='{TONES[check['status']]}'>{_text(check['status'])}</td>"
        f"{cells}<td>{_text(note)}</td></tr>"
    )


def _file_row(file: Mapping[str, Json]) -> str:
    tone, words = WORDS.get(file["verdict"], ("bad", file["verdict"]))
    counts = (file[name] for name in ("rows_in", "rows_out", "quarantined", "deduplicated"))
    cells = "".join(f'<td class="number">{"" if count is None else f"{count:,}"}</td>' for count in counts)
    return (
        f"<tr><td><code>{_text(file['source'])}</code></td><td>{_text(file['agency_id'])}</td>"
        f"<td class='{tone}'>{_text(words)}</td>{cells}<td>{_text(file['reason'])}</td></tr>"
    )


def _rules(title: str, counts: Mapping[str, int]) -> str:
    rows = [
        f'<tr><td>{_text(rule)}</td><td class="number">{count:,}</td></tr>'
        for rule, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]
    return f"<h3>{title}</h3>{_table(('Rule', 'Rows'), rows)}" if rows else ""


def _spelt(threshold: str) -> str:
    operator, space, rest = threshold.partition(" ")
    return f"{_SPELT.get(operator, operator)}{space}{rest}" if threshold else "nothing asked"


def _table(columns: Sequence[str], rows: Sequence[str]) -> str:
    return table_of(columns, rows, numeric=_NUMERIC) if rows else ""


def _text(value: str) -> str:
    return escape(printable(value))

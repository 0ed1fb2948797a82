"""A file's quality as one self-contained page that a data steward sends to an agency: no script, no request."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from pipeline_processing.quality.verdict import CHECK_STATUSES
from pipeline_processing.reports import quality_cards
from pipeline_processing.reports.quality_facts import (
    TONES,
    WORDS,
    QualityPage,
    Reason,
    asks,
    cut,
    does,
    outcome,
    percent,
    some,
)
from pipeline_processing.reports.style import document
from pipeline_processing.reports.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline_processing.quality.verdict import CheckResult
    from pipeline_processing.reports.quality_facts import Stranger

__all__ = ["QualityPage", "Reason", "render", "render_unreadable"]

_STYLE: Final = """
.balance { display: flex; height: 1.1rem; border-radius: .3rem; overflow: hidden; margin: .6rem 0; gap: 2px; }
.balance i { display: block; min-width: 3px; }
.out { background: var(--good); } .held { background: var(--bad); } .same { background: var(--soft); }
.sum { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; margin: .2rem 0; font-variant-numeric: tabular-nums; }
.sum b { font-size: 1.25rem; font-weight: 600; display: block; line-height: 1.25; }
.sum i { display: inline-block; width: .65rem; height: .65rem; border-radius: .15rem; margin-right: .35rem; }
.checks td:first-child { overflow-wrap: anywhere; } .checks td:last-child { white-space: nowrap; }
@media (min-width: 50rem) { .checks td:first-child { min-width: 13rem; } .checks td:nth-child(4) { min-width: 13rem; } }
.state { font-weight: 600; white-space: nowrap; }
details summary { cursor: pointer; color: var(--soft); padding: .4rem 0; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media print { .balance, .balance i, .sum i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
_EXAMPLES: Final = 5
_REASON: Final = 1_000
"""Characters of the reason why a file can not be read."""


def render(page: QualityPage) -> str:
    """Return the page. Every text is escaped; control characters are spelled out."""
    tone, words = ("soft", "Profile: nothing was checked") if page.is_profile else WORDS[page.verdict.status]
    sections = (
        _because(page),
        _balance(page) if page.rows_in or not page.is_profile else "",
        _reasons(page),
        "" if page.is_profile else _checks(page),
        _drift(page),
        _strangers(page),
        _columns(page),
        _file(page),
    )
    header = (
        f'<header><p class="soft">Data quality · {_text(page.dataset)}</p><h1>{_text(page.file)}</h1>'
        f'<p class="verdict {tone}">{words}</p></header>\n<main>\n'
    )
    checked = "" if page.is_profile else f"<footer>Checked against contract {_text(page.contract)}.</footer>"
    footer = f"</main>\n{checked}"
    body = header + "\n".join(section for section in sections if section) + footer
    return document(f"{printable(page.file)}: {words}", body, more_style=_STYLE + quality_cards.STYLE)


def _because(page: QualityPage) -> str:
    """Say what the tables below do not."""
    lines = []
    if page.missing:
        lines.append(f"The file lacks: {some(page.missing)}.")
    if page.unread:
        lines.append(f"The contract does not know, and so nobody read: {some(page.unread)}.")
    told = ("quarantined rows:", "required column ", *(f"{result.name}:" for result in page.verdict.results))
    lines += [f"{line[:1].upper()}{line[1:]}." for line in page.verdict.because if not line.startswith(told)]
    if not page.is_balanced:
        lines.append("The rows do not add up: do not use this file.")
    if not lines:
        return ""
    listed = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<section><h2>Take note</h2><ul>{listed}</ul></section>"


def render_unreadable(*, file: str, dataset: str, contract: str, why: str) -> str:
    """Return the page of a file that can not be read: what it is, and ``why``."""
    tone, words = WORDS["unreadable"]
    body = (
        f'<header><p class="soft">Data quality · {_text(dataset)}</p><h1>{_text(file)}</h1>'
        f'<p class="verdict {tone}">{words}</p></header>\n<main>\n'
        f"<section><h2>Why</h2><p>{_text(cut(why, _REASON))}</p>"
        '<p class="soft">None of its rows was looked at to the end, and none is accepted. '
        "Please send the file again once this is mended.</p></section>"
        f"</main>\n<footer>To be checked against contract {_text(contract)}.</footer>"
    )
    return document(f"{printable(file)}: {words}", body, more_style=_STYLE)


def _balance(page: QualityPage) -> str:
    parts = (
        ("out", page.accepted, page.rows_out),
        ("held", "in quarantine", page.quarantined),
        ("same", "repeated, left out", page.deduplicated),
    )
    bar = "".join(
        f'<i class="{name}" style="flex:{count}" title="{words}: {count:,}"></i>'
        for name, words, count in parts
        if count
    )
    told = "".join(
        f'<span><b>{count:,}</b><i class="{name}"></i>{words} '
        f'<span class="soft">{percent(count, page.rows_in)}</span></span>'
        for name, words, count in parts
    )
    left = ", ".join(f"{_text(why)} {count:,}" for why, count in page.skipped.items() if count)
    skipped = f'<p class="soft">Lines that are no data and were not counted: {left}.</p>' if left else ""
    return (
        f'<section><h2>Rows</h2><div class="sum"><span><b>{page.rows_in:,}</b>in the file</span>{told}</div>'
        f'<div class="balance">{bar}</div>{skipped}</section>'
    )


def _reasons(page: QualityPage) -> str:
    if not page.reasons:
        return ""
    rows = [
        f"<tr><td>{_text(reason.rule)}{_told(page.asks(reason.rule))}</td><td class='number'>{reason.rows:,}</td>"
        f"<td>{page.places(reason, _EXAMPLES)}</td><td>{_values(page, reason)}</td></tr>"
        for reason in sorted(page.reasons, key=lambda reason: (-reason.rows, reason.rule))
    ]
    note = (
        '<p class="soft">These rows were taken out until they are corrected or waived. '
        f"A row that breaks several rules counts under each. {page.counting}</p>"
    )
    table = _table((("Rule", ""), ("Rows", "number"), ("For example rows", ""), ("With the values", "")), rows)
    return f"<section><h2>In quarantine</h2>{note}{table}</section>"


def _values(page: QualityPage, reason: Reason) -> str:
    if page.hides(reason.column):
        return '<span class="soft">not shown</span>' if reason.values else ""
    return ", ".join(
        f"<code>{_text(cut(value))}</code>" if value.strip() else "blank" for value in reason.values[:_EXAMPLES]
    )


def _checks(page: QualityPage) -> str:
    """Show what does not hold first; what passed is folded away."""
    results = [result for result in page.verdict.results if result.kind != "drift"]
    if not results:
        return "<section><h2>Checks</h2><p>The contract has no checks.</p></section>"
    return f"<section><h2>Checks</h2>{_results(results, lambda some: _check_table(some, page.asked))}</section>"


def _drift(page: QualityPage) -> str:
    results = [result for result in page.verdict.results if result.kind == "drift"]
    if not results:
        return ""
    return f"<section><h2>Beside the last published file</h2>{_results(results, _drift_table)}</section>"


def _results(results: Sequence[CheckResult], table: Callable[[Sequence[CheckResult]], str]) -> str:
    loud = [result for result in results if result.status != "passed"]
    loud.sort(key=lambda result: (-CHECK_STATUSES.index(result.status), -result.failed))
    passed = [result for result in results if result.status == "passed"]
    counts = ", ".join(
        f'<span class="{TONES[status]}">{count:,} {status}</span>'
        for status in reversed(CHECK_STATUSES)
        if (count := sum(result.status == status for result in results))
    )
    unfolded = "" if loud else " open"
    folded = f"<details{unfolded}><summary>{len(passed):,} passed</summary>{table(passed)}</details>" if passed else ""
    return f"<p>{counts}</p>{table(loud) if loud else ''}{folded}"


def _check_table(results: Sequence[CheckResult], asked: Mapping[str, str]) -> str:
    rows = [
        f"<tr><td>{_text(result.name)}</td><td class='state {TONES[result.status]}'>{result.status}</td>"
        f"<td>{_text(asks(result, asked))}{_told(result.description)}</td><td>{_text(outcome(result))}</td>"
        f"<td class='soft'>{_text(does(result))}</td></tr>"
        for result in results
    ]
    heads = (("Check", ""), ("Result", ""), ("What it asks", ""), ("Found", ""), ("Else", ""))
    return _table(heads, rows, "checks")


def _told(description: str) -> str:
    return f"<br><span class='soft'>{_text(description)}</span>" if description else ""


def _drift_table(results: Sequence[CheckResult]) -> str:
    rows = [
        f"<tr><td>{_text(result.column or 'the file')}</td>"
        f"<td class='state {TONES[result.status]}'>{result.status}</td>"
        f"<td>{_text(asks(result))}</td><td>{_text(outcome(result))}</td></tr>"
        for result in results
    ]
    return _table((("Column", ""), ("Result", ""), ("What it asks", ""), ("Found", "")), rows)


def _columns(page: QualityPage) -> str:
    if page.profile is None or not page.profile.columns:
        return ""
    cards = quality_cards.cards(page.profile.columns, dict(page.descriptions))
    note = f'<p class="soft">What stands in the {counted(page.profile.rows, "row")} profiled.</p>'
    return f"<section><h2>Columns</h2>{note}{cards}</section>"


def _strangers(page: QualityPage) -> str:
    rows = [
        f"<tr><td>{_text(column)}</td><td>{_stranger(one)}</td><td class='number'>{one.rows:,}</td>"
        f"<td>{f'<code>{_text(cut(one.meant))}</code>' if one.meant else ''}</td></tr>"
        for column, found in page.strangers.items()
        if not page.hides(column)
        for one in found
    ]
    if not rows:
        return ""
    note = '<p class="soft">Values that are not allowed, and what may be meant. Nothing was changed.</p>'
    table = _table((("Column", ""), ("Value", ""), ("Rows", "number"), ("Perhaps", "")), rows)
    return f"<section><h2>Not among the allowed values</h2>{note}{table}</section>"


def _stranger(one: Stranger) -> str:
    return '<span class="soft">all others</span>' if one.value is None else f"<code>{_text(cut(one.value))}</code>"


def _file(page: QualityPage) -> str:
    pairs = {**page.facts, "contract": page.contract}
    listed = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in pairs.items() if value)
    return f"<section><h2>This file</h2><dl>{listed}</dl></section>"


def _table(columns: Sequence[tuple[str, str]], rows: Sequence[str], kind: str = "") -> str:
    head = "".join(f'<th class="{css}">{name}</th>' if css else f"<th>{name}</th>" for name, css in columns)
    body = "".join(rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _text(value: str) -> str:
    return escape(printable(value))

"""The run report as one self-contained page: no script, no request, light and dark, fit to print."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import orjson

from pipeline_processing.reports import run_quality
from pipeline_processing.reports.style import document, table_of
from pipeline_processing.reports.text import counted, moment, printable, taken_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline_processing.model import Json
    from pipeline_processing.reports.report import Report

_LONGEST: Final = 120
"""Characters of a text of the spec that the page shows."""
STATES: Final = ("planned", "done", "skipped", "dead", "pending")


def render(report: Report, *, rolled_back_at: str | None = None) -> str:
    """Return the page; ``rolled_back_at`` is what the run's record says by now."""
    tone, words = _verdict(report)
    sections = (
        _notes("Rolled back", [taken_back(rolled_back_at)] if rolled_back_at else [], "bad"),
        _notes("Why", report.because, "warn" if report.is_success else "bad"),
        _notes("Take note", report.warnings, "warn"),
        _conservation(report),
        _outcomes(report),
        run_quality.section(report.quality),
        run_quality.files(report.quality),
        _problems(report),
        _failures(report),
        _published(report),
        _details(report),
    )
    header = (
        f'<header><p class="soft">{escape(report.job)}</p><h1>{escape(report.run_id)}</h1>'
        f'<p class="verdict {tone}">{escape(words)}</p></header>\n<main>\n'
    )
    body = header + "\n".join(section for section in sections if section) + "\n</main>"
    return document(f"{report.run_id}: {words}", body)


def _verdict(report: Report) -> tuple[str, str]:
    if report.is_success:
        return ("warn", "Published, with tolerated failures") if report.because else ("good", "Published, all of it")
    return "bad", "Published in part" if report.is_published else "Not published"


def _notes(title: str, lines: Sequence[str], tone: str) -> str:
    notes = "".join(f'<p class="{tone}">{escape(line)}</p>' for line in lines)
    return f"<section><h2>{title}</h2>{notes}</section>" if lines else ""


def _conservation(report: Report) -> str:
    if not report.total["planned"]["items"]:
        return "<section><h2>Conservation</h2><p>Nothing was planned: there was nothing to do.</p></section>"
    rows = [_balance_row(str(agency["agency_id"]), agency) for agency in report.agencies]
    rows.append(_balance_row("All", report.total, is_total=True))
    note = '<p class="soft">Items (and the inputs they stand for). Planned = done + skipped + dead + pending.</p>'
    return (
        f"<section><h2>Conservation</h2>{note}"
        f"{_table(('Agency', *(state.capitalize() for state in STATES), 'Failed inputs'), rows)}</section>"
    )


def _balance_row(name: str, balance: Mapping[str, Json], *, is_total: bool = False) -> str:
    cells = "".join(_count(balance[state], bad=state in {"dead", "pending"}) for state in STATES)
    failed = balance["failed_inputs"]
    tone = " bad" if failed else ""
    total = ' class="total"' if is_total else ""
    return f'<tr{total}><td>{escape(name)}</td>{cells}<td class="number{tone}">{failed:,}</td></tr>'


def _count(tally: Mapping[str, int], *, bad: bool) -> str:
    tone = " bad" if bad and tally["items"] else ""
    inputs = f' <span class="soft">({tally["inputs"]:,})</span>' if tally["inputs"] != tally["items"] else ""
    return f'<td class="number{tone}">{tally["items"]:,}{inputs}</td>'


def _outcomes(report: Report) -> str:
    rows = [
        f'<tr><td>{escape(name)}</td><td class="number">{count:,}</td></tr>' for name, count in report.outcomes.items()
    ]
    return f"<section><h2>What became of the inputs</h2>{_table(('Outcome', 'Inputs'), rows)}</section>" if rows else ""


def _problems(report: Report) -> str:
    if not report.problems and not report.problems_not_shown:
        return ""
    rows = [
        f"<tr><td>{escape(problem['agency_id'])}</td><td><code>{escape(printable(problem['name']))}</code></td>"
        f'<td class="bad">{escape(problem["status"])}</td><td>{escape(printable(problem["reason"]))}</td>'
        f'<td class="number">{problem["inputs"]:,}</td></tr>'
        for problem in report.problems
    ]
    note = '<p class="soft">Inside items that are done; those of dead items are told by cause.</p>'
    table = _table(("Agency", "Input", "Status", "Reason", "Inputs"), rows) if rows else ""
    more = f'<p class="soft">{escape(problems_elsewhere(report))}</p>' if report.problems_not_shown else ""
    return f"<section><h2>Inputs that failed</h2>{note}{table}{more}</section>"


def problems_elsewhere(report: Report, *, not_shown: int | None = None) -> str:
    """Return how many failed inputs are not shown, and where they are named."""
    count = report.problems_not_shown if not_shown is None else not_shown
    has_manifest = any(output["role"] == "manifest" for output in report.outputs)
    where = "the manifest" if has_manifest else "the markers in done/, beside this run's report.json"
    return f"and {count:,} more: see {where}" if report.problems else f"{count:,} not named here: see {where}"


def _failures(report: Report) -> str:
    if not report.failures:
        return ""
    groups = "".join(_group(report, group) for group in report.failures)
    more = (
        f'<p class="soft">{report.failures_not_shown:,} more dead items are not shown.</p>'
        if report.failures_not_shown
        else ""
    )
    redrive = (
        "<p>When the cause is mended, give the items back to their queue, then gather this run again:</p>"
        f"<pre>{escape(gather_command(report))}</pre>"
        if report.lane
        else "<p>This run was worked within one process: mend the cause, then run it again with its --run-id.</p>"
    )
    return f"<section><h2>Dead items, by cause</h2>{groups}{more}{redrive}</section>"


def _group(report: Report, group: Mapping[str, Json]) -> str:
    rows = [
        f"<tr><td><code>{escape(example['item_id'])}</code></td><td>{escape(example['agency_id'])}</td>"
        f'<td class="number">{example["attempts"]}</td><td>{escape(example["worker"])}</td></tr>'
        for example in group["examples"]
    ]
    return (
        f'<div class="group"><p><strong class="bad">{escape(group["error_class"])}</strong> '
        f'<span class="soft">{counted(group["items"], "item")} · '
        f"{escape(group['reason'])} · {escape(group['processor'])} · "
        f"<code>{escape(group['fingerprint'])}</code></span></p><p>{escape(group['message'])}</p>"
        f'<p class="soft">{escape(moment(group["first_failed_at"]))} to {escape(moment(group["last_failed_at"]))}, '
        f"code {escape(group['code_version'])}</p>{_table(('Item', 'Agency', 'Attempts', 'Worker'), rows)}"
        f"{_redrive(report, str(group['fingerprint']))}</div>"
    )


def _redrive(report: Report, fingerprint: str) -> str:
    if report.lane is None:
        return ""
    command = (
        f"pipeline-processing dlq redrive --lane {report.lane} --run-id {report.run_id} --fingerprint {fingerprint}"
    )
    return f"<pre>{escape(command)}</pre>"


def gather_command(report: Report) -> str:
    """Return the command that gathers the run again."""
    return f"pipeline-processing controller gather {report.job} --run-id {report.run_id}"


def _published(report: Report) -> str:
    if not report.is_published:
        return ""
    rows = [
        f"<tr><td>{escape(output['role'])}</td><td><code>{escape(output['bucket'])}/{escape(output['key'])}</code></td>"
        f'<td class="number">{output["size"]:,}</td></tr>'
        for output in report.outputs
    ]
    counts = "".join(f"<dt>{escape(name)}</dt><dd>{count:,}</dd>" for name, count in report.published_counts.items())
    commits = ", ".join(f"<code>{escape(commit)}</code>" for commit in report.commits)
    more = f'<p class="soft">and {report.outputs_not_shown:,} more</p>' if report.outputs_not_shown else ""
    table = _table(("Role", "Object", "Bytes"), rows) if rows else ""
    return f"<section><h2>Published</h2><dl><dt>commit</dt><dd>{commits}</dd>{counts}</dl>{table}{more}</section>"


def _details(report: Report) -> str:
    pairs = {
        "planned": moment(report.created_at),
        "finished": moment(report.finished_at),
        "took": f"{report.seconds:,} s",
        "lane": report.lane or "none: within one process",
        "tolerated failures": report.tolerance,
        "code version": report.code_version,
        "record": f"revision {report.revision}, {report.state}",
    }
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items())
    spec = orjson.dumps(_short(report.spec), option=orjson.OPT_INDENT_2).decode()
    return f"<section><h2>This run</h2><dl>{listed}</dl><pre>{escape(spec)}</pre></section>"


def _short(spec: Mapping[str, Json]) -> dict[str, Json]:
    """Return the spec without its long texts, such as a contract: report.json has all of it."""
    return {
        name: f"{value[:_LONGEST]}… ({len(value):,} characters)"
        if isinstance(value, str) and len(value) > _LONGEST
        else value
        for name, value in spec.items()
    }


def _table(columns: Iterable[str], rows: Sequence[str]) -> str:
    states = (state.capitalize() for state in STATES)
    return table_of(columns, rows, numeric=frozenset({*states, "Failed inputs", "Inputs", "Attempts", "Bytes"}))

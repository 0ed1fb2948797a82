"""One card a column: how complete it is, how its values spread, which are frequent. HTML and SVG, no script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from pipeline_processing.reports.quality_facts import number, percent
from pipeline_processing.reports.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_processing.quality.profile_column import Column, Histogram

STYLE: Final = """
:root { --bar: #5b7bd5; --rest: #e4e6ec; }
@media (prefers-color-scheme: dark) { :root { --bar: #7d9bf0; --rest: #2b2e35; } }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: .9rem; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; break-inside: avoid; min-width: 0; }
.card h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
.card h3 small { font-weight: 400; color: var(--soft); margin-left: .35rem; }
.card h4 { font-size: .8rem; font-weight: 600; color: var(--soft); margin: .8rem 0 .25rem; }
.card dl { font-size: .87rem; gap: .05rem .9rem; margin-top: .5rem; font-variant-numeric: tabular-nums; }
.card svg { display: block; width: 100%; height: 4.5rem; margin-top: .6rem; }
.ends { display: flex; justify-content: space-between; font-size: .78rem; color: var(--soft); gap: 1rem; }
.fill { display: block; height: .3rem; border-radius: .15rem; background: var(--rest); margin: .5rem 0 .3rem;
  overflow: hidden; }
.fill i { display: block; height: 100%; background: var(--bar); }
.bars { list-style: none; margin: 0; padding: 0; font-size: .87rem; font-variant-numeric: tabular-nums; }
.bars li { display: grid; grid-template-columns: minmax(0, 1fr) max-content; gap: 0 .8rem; position: relative;
  padding: .08rem .3rem; margin: .12rem 0; isolation: isolate; }
.bars li i { position: absolute; inset: 0 auto 0 0; background: var(--bar); opacity: .22; border-radius: .2rem;
  z-index: -1; }
.bars span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: pre; }
.bars .none { color: var(--soft); font-style: italic; }
rect { fill: var(--bar); } line { stroke: var(--line); }
@media print { .card, .fill, .fill i, .bars i, rect { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .cards { display: block; columns: 3; column-gap: .7rem; } .card { margin: 0 0 .7rem; padding: .5rem .6rem; }
  .card h3 { font-size: 11px; } .card h4, .card dl, .card p, .bars, .ends { font-size: 9px; }
  .card svg { height: 3rem; }
  .bars span:first-child { white-space: pre-wrap; overflow-wrap: anywhere; } }
"""
SHOWN: Final = 300
"""Columns with a card."""
_TOP: Final = 6
_WIDTH: Final = 240
_HEIGHT: Final = 64
_GAP: Final = 1.0
_COUNTED: Final = 100
"""From here on the number of different values is an estimate."""
_NEARLY_ALL: Final = 0.97


def cards(columns: Sequence[Column], descriptions: dict[str, str]) -> str:
    """Return the cards of the first `SHOWN` columns, and how many more there are."""
    shown = "".join(_card(column, descriptions.get(column.name, "")) for column in columns[:SHOWN])
    more = f'<p class="soft">and {len(columns) - SHOWN:,} more columns</p>' if len(columns) > SHOWN else ""
    return f'<div class="cards">{shown}</div>{more}'


def _card(column: Column, description: str) -> str:
    told = f'<p class="soft">{escape(printable(description))}</p>' if description else ""
    hidden = '<p class="soft">Classified: its values are not shown.</p>' if column.is_classified else ""
    parts = (told, _completeness(column), _figures(column), hidden, _histogram(column), _top(column), _patterns(column))
    name = escape(printable(column.name))
    return f'<article class="card"><h3>{name}<small>{escape(column.kind)}</small></h3>{"".join(parts)}</article>'


def _completeness(column: Column) -> str:
    filled = column.rows - column.nulls
    words = "always filled" if filled == column.rows else f"filled in {percent(filled, column.rows)} of the rows"
    width = 100 * filled / column.rows if column.rows else 0.0
    words = words if column.rows else "no rows"
    return f'<span class="fill"><i style="width:{width:.2f}%"></i></span><span class="soft">{words}</span>'


def _figures(column: Column) -> str:
    pairs = {"empty": f"{column.nulls:,}" if column.nulls else "", "different": _different(column)}
    if column.not_finite:
        pairs["no number"] = f"{column.not_finite:,}"
    if column.moments.count:
        pairs |= {"mean": number(column.moments.mean), "deviation": number(column.moments.deviation)}
    sketch = column.sketch()
    if sketch is not None and sketch.count:
        low, middle, high = (number(column.shown(value)) for value in sketch.quantiles((0.25, 0.5, 0.75)))
        pairs |= {"median": middle, "middle half": f"{low} to {high}"}
    if column.kind == "string" and column.low is not None:
        pairs |= {"first": str(column.low).strip() or "blank", "last": str(column.high).strip() or "blank"}
    if column.lengths.count:
        low, high = number(column.lengths.low), number(column.lengths.high)
        pairs["characters"] = (
            low if low == high else f"{low} to {high}, {number(round(column.lengths.mean, 1))} on average"
        )
    listed = (f"<dt>{name}</dt><dd>{escape(printable(told))}</dd>" for name, told in pairs.items() if told)
    return f"<dl>{''.join(listed)}</dl>"


def _different(column: Column) -> str:
    filled, distinct = column.rows - column.nulls, column.distinct_count
    if not filled:
        return ""
    if distinct < _COUNTED:
        return f"{distinct:,}{', each once' if 1 < filled == distinct else ''}"
    return f"about {distinct:,}{', nearly all of them' if distinct > _NEARLY_ALL * filled else ''}"


def _histogram(column: Column) -> str:
    spread = column.histogram()
    if spread is None:
        return ""
    low, high = column.shown(spread.edges[0]), column.shown(spread.edges[-1])
    if not spread.is_cut:
        low, high = column.low, column.high
    words = "middle 98 % of the values; the outermost bars hold the rest" if spread.is_cut else ""
    note = f'<p class="ends">{words}; lowest {_bound(column.low)}, highest {_bound(column.high)}</p>' if words else ""
    return f'{_bars(column, spread)}<div class="ends"><span>{_bound(low)}</span><span>{_bound(high)}</span></div>{note}'


def _bars(column: Column, spread: Histogram) -> str:
    most, width = max(spread.shares) or 1.0, _WIDTH / len(spread.shares)
    bars = []
    for index, share in enumerate(spread.shares):
        height = _HEIGHT * share / most
        low, high = (number(column.shown(edge)) for edge in spread.edges[index : index + 2])
        bars.append(
            f'<rect x="{index * width + _GAP / 2:.2f}" y="{_HEIGHT - height:.2f}" width="{width - _GAP:.2f}" '
            f'height="{height:.2f}"><title>{escape(f"{low} to {high}")}: {percent(share, 1)}</title></rect>'
        )
    label = f"How the values of {printable(column.name)} spread"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 1}" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'{"".join(bars)}<line x1="0" y1="{_HEIGHT + 0.5}" x2="{_WIDTH}" y2="{_HEIGHT + 0.5}"/></svg>'
    )


def _top(column: Column) -> str:
    frequent = column.top(_TOP + 1)
    filled = column.rows - column.nulls
    if not frequent or (frequent[0][1] == 1 and len(frequent) > _TOP) or column.distinct_count == filled > _TOP:
        return ""
    about = ", estimated" if column.is_sampled else ""
    return f"<h4>Most frequent{about}</h4>{_list(frequent[:_TOP], filled)}"


def _patterns(column: Column) -> str:
    shapes = column.patterns(_TOP)
    if not shapes or len(column.top(_TOP + 1)) <= _TOP:
        return ""
    return f"<h4>Forms (9 a digit, A a letter)</h4>{_list(shapes, column.rows - column.nulls)}"


def _list(counted: Sequence[tuple[str, int]], whole: int) -> str:
    lines = []
    for value, count in counted:
        width = min(100.0, 100 * count / whole) if whole else 0.0
        text = (
            escape(printable(value))
            if value.strip()
            else f'<span class="none">{len(value)} blank{"s" * (len(value) != 1)}</span>'
        )
        lines.append(
            f'<li><i style="width:{width:.2f}%"></i><span title="{escape(printable(value))}">{text}</span>'
            f"<span>{percent(count, whole)}</span></li>"
        )
    return f'<ul class="bars">{"".join(lines)}</ul>'


def _bound(value: object) -> str:
    return escape(number(value))

"""How our pages look: self-contained, light and dark, fit to print, readable on a telephone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --paper: #fff; --panel: #f7f7f9;
  --good: #18794e; --bad: #b4232c; --warn: #915a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #43484e; --paper: #111113;
  --panel: #18191b; --good: #4cc38a; --bad: #ff9592; --warn: #ffca16; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .75rem; }
p { margin: .4rem 0; }
.soft { color: var(--soft); }
.verdict { display: inline-block; margin: .75rem 0 .25rem; padding: .15rem .7rem; border: 1px solid;
  border-radius: 1rem; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; color: var(--soft); white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
tr.total td { font-weight: 600; border-top: 2px solid var(--line); }
code, pre { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem;
  margin: .5rem 0; white-space: pre-wrap; }
.group { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; margin: .8rem 0;
  break-inside: avoid; }
.group p:first-child { margin-top: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { body { padding: 1.25rem .75rem 3rem; } table { font-size: 12px; }
  th, td { padding: .3rem .2rem; } td { overflow-wrap: anywhere; } th, th.number { white-space: normal; }
  .number .soft { display: block; }
  .group { padding: .6rem .6rem; } dl { gap: .2rem .6rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11px; } .scroll { overflow: visible; }
  tr { break-inside: avoid; } }
"""


def document(title: str, body: str, *, more_style: str = "") -> str:
    """Return a whole HTML page; ``body`` is HTML, ``title`` is not."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{more_style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def table_of(columns: Iterable[str], rows: Iterable[str], *, numeric: Collection[str]) -> str:
    """Return a table of ``rows`` of HTML; the heads of the ``numeric`` columns stand right, as their cells do."""
    head = "".join(
        f'<th class="number">{escape(name)}</th>' if name in numeric else f"<th>{escape(name)}</th>" for name in columns
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'

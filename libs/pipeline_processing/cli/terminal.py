"""Tables and JSON on stdout: drawn on a terminal, plain aligned text in a pipe, nothing cut off in either.

Control characters in texts are spelled out: an agency's id may hold an escape sequence.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.errors import ConfigError
from pipeline_processing.reports.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

    from pipeline_processing.model import Json

_STYLES: Final = {"ok": "green", "done": "green", "warning": "yellow", "unsafe": "red", "fault": "red", "down": "red"}
"""Colours of the words that say a state; a word is never left out for its colour."""


_STEERING: Final = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""C1 controls, and marks that hide text or turn its direction; JSON escapes only C0 by itself."""


def print_json(value: Json) -> None:
    """Print ``value`` as one indented JSON document; what would steer a terminal stands as an escape in it."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    sys.stdout.write(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, out: TextIO | None = None) -> None:
    """Print ``rows`` under ``columns``."""
    out = out or sys.stdout
    texts = [[printable(_text(cell)) for cell in row] for row in rows]
    if out.isatty():
        _drawn(columns, texts, out)
    else:
        _plain(columns, texts, out)


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Print one aligned ``name  value`` line each; what is None is left out."""
    known = {printable(name): _text(value) for name, value in pairs.items() if value is not None}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        first, *rest = (printable(line) for line in value.removesuffix("\n").split("\n"))
        print(f"{name:<{width}}  {first}".rstrip())
        for line in rest:
            print(f"{'':<{width}}  {line}")


def confirmed(question: str, *, ask: Callable[[str], str] = input) -> bool:
    """Ask on the terminal; anything but yes is no. ConfigError where nobody is there to answer."""
    try:
        return ask(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError as error:
        raise ConfigError("nobody answers", where=question, way_out="give --yes") from error


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    from rich import box  # noqa: PLC0415 - rich takes a tenth of a second, and a pipe needs none of it
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(file=out).print(table)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    lines = [list(columns), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip(), file=out)

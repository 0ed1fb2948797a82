"""What the demo says: one line a step with the command that does it; drawn on a terminal, plain text in a pipe."""

from __future__ import annotations

import contextlib
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline_processing.cli.terminal import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from etl_core.clock import Clock

_NARROW: Final = 120
_MARGIN: Final = 5
_WORD: Final = re.compile(r"(?:'[^']*'|[^\s'])+")


@dataclass(slots=True)
class Step:
    """One step while it runs; what it found out is said when it ends."""

    title: str
    found: str = ""


class Narrator:
    """Tells a story of numbered steps."""

    def __init__(self, clock: Clock, out: TextIO | None = None) -> None:
        self._clock = clock
        self._out = out or sys.stdout
        self._number = 0
        self._is_drawn = self._out.isatty()

    @contextlib.contextmanager
    def step(self, title: str, *commands: str) -> Iterator[Step]:
        """Say ``title`` and the equivalent ``commands`` when the step ends, with what it found and how long it took.

        On a terminal the title shows meanwhile. A step that fails is said too, and its error passes.
        """
        self._number += 1
        step, begun = Step(title), self._clock.monotonic()
        try:
            with self._spinner(title):
                yield step
        except BaseException:  # said once the spinner is gone: both would write into one line
            self._say(f"{title}: not done", self._clock.monotonic() - begun, commands, mark="✗")
            raise
        text = f"{title}: {step.found}" if step.found else title
        self._say(text, self._clock.monotonic() - begun, commands, mark="✓")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table below the steps."""
        print(file=self._out)
        print_table(columns, rows, out=self._out)

    def note(self, text: str = "") -> None:
        """Print a line that is no step."""
        print(text, file=self._out, flush=True)

    @contextlib.contextmanager
    def _spinner(self, title: str) -> Iterator[None]:
        if not self._is_drawn:
            yield
            return
        from rich.console import Console  # noqa: PLC0415 - a pipe needs none of it

        with Console(file=self._out).status(f"{self._number}. {title}"):
            yield

    def _say(self, text: str, seconds: float, commands: Sequence[str], *, mark: str) -> None:
        if self._is_drawn:
            self._draw(text, seconds, commands, mark)
            return
        print(f"{mark} {self._number:>2} {text} ({seconds:.1f} s)", file=self._out)
        for command in commands:
            print(f"{'':{_MARGIN}}$ {command}", file=self._out)
        self._out.flush()

    def _draw(self, text: str, seconds: float, commands: Sequence[str], mark: str) -> None:
        from rich.console import Console  # noqa: PLC0415 - see _spinner
        from rich.table import Table  # noqa: PLC0415 - see _spinner
        from rich.text import Text  # noqa: PLC0415 - see _spinner

        self._out.write("\r\x1b[2K")  # the terminal's own ^C stands there after an interrupt
        console = Console(file=self._out, highlight=False)
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(width=1)
        line.add_column(width=2, justify="right")
        line.add_column(ratio=1, overflow="fold")
        line.add_column(justify="right", no_wrap=True, style="dim")
        line.add_row(Text(mark, "green" if mark == "✓" else "red"), str(self._number), Text(text), f"{seconds:.1f} s")
        console.print(line, width=min(console.width, _NARROW))
        for command in commands:
            for line_of_it in folded(command, console.width - _MARGIN - 4):
                console.print(Text(f"{'':{_MARGIN}}{line_of_it}", "cyan"), soft_wrap=True)


def folded(command: str, width: int) -> list[str]:
    """Return ``command`` in lines that a shell takes for one; no word is broken, and none between single quotes."""
    lines = ["$"]
    for word in _WORD.findall(command):
        if len(lines[-1]) + len(word) + 1 > width and lines[-1].strip() not in {"$", ""}:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}"
    return lines

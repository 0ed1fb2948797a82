"""How far a run is, on stderr: a bar where somebody watches, now and then a line where a log does."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from pipeline_controller.planning import Pace

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from pipeline_controller.gather import Progress

BETWEEN_LINES: Final = timedelta(seconds=15)


def describe(progress: Progress, pace: Pace) -> str:
    """Return the state in words, for a bar's end or a line."""
    left = pace.remaining(progress.planned)
    eta = "?" if left is None else str(timedelta(seconds=int(left.total_seconds())))
    return (
        f"{progress.done:,} done, {progress.dead:,} dead, {progress.in_flight:,} in flight, "
        f"{pace.rate:,.1f} items/s, ETA {eta}"
    )


class ProgressDisplay:
    """Shows a run's progress; a context manager, for a bar must leave the terminal as it was."""

    def __init__(self, run_id: str, *, out: TextIO | None = None, quiet: bool = False) -> None:
        self._run_id, self._out, self._quiet = run_id, out or sys.stderr, quiet
        self._pace = Pace()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._line_at: float | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._out.isatty():
            # Here, because rich takes a tenth of a second to import, and a log needs none of it.
            from rich.console import Console  # noqa: PLC0415 - see above
            from rich.progress import BarColumn, TextColumn  # noqa: PLC0415 - see above
            from rich.progress import Progress as RichProgress  # noqa: PLC0415 - see above

            self._bar = RichProgress(
                TextColumn("{task.fields[run_id]}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %  {task.fields[words]}"),
                console=Console(file=self._out),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, run_id=self._run_id, words="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, progress: Progress, *, at: float) -> None:
        """Show ``progress``, seen at ``at`` monotonic seconds."""
        self._pace.add(at, progress.done + progress.dead)
        if self._quiet:
            return
        words = describe(progress, self._pace)
        if self._bar is not None and self._task is not None:
            finished = progress.done + progress.dead
            self._bar.update(self._task, total=progress.planned, completed=finished, words=words)
        elif self._line_at is None or at - self._line_at >= BETWEEN_LINES.total_seconds():
            self._line_at = at
            self._out.write(f"{self._run_id}: {words}, of {progress.planned:,}\n")
            self._out.flush()

from __future__ import annotations

import io

from pipeline_controller.gather import Progress
from pipeline_controller.progress import ProgressDisplay


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_line_is_written_now_and_then() -> None:
    out = io.StringIO()
    with ProgressDisplay("r1", out=out) as display:
        for second in range(0, 31, 5):
            display.update(Progress(1000, 10 * second, 1, 7), at=float(second))
    lines = out.getvalue().splitlines()
    assert 3 == len(lines)
    assert "r1: 300 done, 1 dead, 7 in flight, 10.0 items/s, ETA 0:01:09, of 1,000" == lines[-1]


def test_what_does_not_move_has_no_eta() -> None:
    out = io.StringIO()
    with ProgressDisplay("r1", out=out) as display:
        display.update(Progress(10, 0, 0, 0), at=0.0)
    assert "ETA ?" in out.getvalue()


def test_a_terminal_shows_a_bar_and_gets_its_cursor_back() -> None:
    out = Terminal()
    with ProgressDisplay("r1", out=out) as display:
        display.update(Progress(10, 5, 0, 2), at=0.0)
        display.update(Progress(10, 10, 0, 0), at=5.0)
    assert "\x1b[?25l" in out.getvalue()
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


def test_quiet_is_quiet() -> None:
    out = Terminal()
    with ProgressDisplay("r1", out=out, quiet=True) as display:
        display.update(Progress(10, 5, 0, 2), at=0.0)
    assert "" == out.getvalue()

"""The one place where errors become exit codes and one line on stderr, and where SIGTERM is first heard."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, EtlError
from pipeline_processing.reports.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
PARTLY: Final = 3
INTERRUPTED: Final = 130

MEANINGS: Final = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "usage or configuration",
    PARTLY: "partly done: look at the report",
    INTERRUPTED: "interrupted",
}


def heed_sigterm() -> None:
    """Have SIGTERM interrupt this process as Ctrl-C does, until somebody takes the signals over.

    To be called first of all: in a container this is process 1, and the kernel drops what that has no handler for.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def guarded(call: Callable[[], int]) -> int:
    """Return what ``call`` returns, or the exit code of what it raises.

    Errors outside `etl_core.errors` are faults of the program: they pass, with their traceback.
    """
    try:
        code = call()
        sys.stdout.flush()
    except SystemExit as wish:
        return _code(wish)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not _stdout_is_gone():
            raise
        return FAILED
    except EtlError as error:
        return _report([error])
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        errors = [leaf for leaf in leaves if isinstance(leaf, EtlError)]
        if len(errors) < len(leaves):
            raise
        return _report(errors)
    return code


def _report(errors: list[EtlError]) -> int:
    for line in dict.fromkeys(" ".join(str(error).split()) or type(error).__name__ for error in errors):
        print(f"error: {printable(line)}", file=sys.stderr)
    return USAGE if any(isinstance(error, ConfigError) for error in errors) else FAILED


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _code(wish: SystemExit) -> int:
    if wish.code is None or isinstance(wish.code, int):
        return wish.code or DONE
    print(wish.code, file=sys.stderr)
    return FAILED


def _stdout_is_gone() -> bool:
    """Tell a reader that went away (`jobs | head -1`) from a broken connection to a service."""
    try:
        out = sys.stdout.fileno()
    except OSError:  # not a file at all
        return False
    poll = select.poll()
    poll.register(out, 0)
    if not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0)):
        return False
    # The interpreter flushes once more on its way out; that must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), out)
    return True

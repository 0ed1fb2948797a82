"""The parser of every command and job: one line says what is wrong and what may have been meant, no dump of usage."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Collection  # noqa: TC003 - a dataclass keeps its annotations
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class _Typed:
    prog: str
    help: str
    before: Collection[str]


_TYPED: Final[ContextVar[_Typed | None]] = ContextVar("typed", default=None)


@contextmanager
def typed_as(prog: str, *, see: str = "", before: Collection[str] = ()) -> Iterator[None]:
    """Name parsers made within after what the user typed: one job has several ways in.

    ``see`` is the command that shows the help; options in ``before`` are the caller's, and stand before ``--``.
    """
    token = _TYPED.set(_Typed(prog, see or f"{prog} --help", before))
    try:
        yield
    finally:
        _TYPED.reset(token)


class Parser(argparse.ArgumentParser):
    """Exits with code 2 and two lines on stderr. ``hint`` is said where an option is like none that it knows.

    What a subcommand does not know is its own error, not that of the command above it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - argparse's own, handed on
        super().__init__(*arguments, **options)
        self.hint = ""
        self._typed = _TYPED.get()
        if self._typed and not self.prog.startswith(f"{self._typed.prog} "):
            self.prog = self._typed.prog

    def parse_known_args(  # type: ignore[override] # the overloads differ in the namespace's type alone
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the options and no rest: what is not known is an error."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(self._unknown(rest))
        return found, rest

    def options(self) -> Collection[str]:
        """Return every option as it is typed."""
        return frozenset(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is; exit with code 2."""
        self.exit(2, f"error: {message}\nsee {self._typed.help if self._typed else f'{self.prog} --help'}\n")

    def _unknown(self, rest: Sequence[str]) -> str:
        options = [word.partition("=")[0] for word in rest if word.startswith("-") and word != "--"]
        if not options:
            return f"unexpected argument {' '.join(rest)}" + (f" ({self.hint})" if self.hint else "")
        return ", ".join(f"unrecognized option {option}{self._meant(option)}" for option in options)

    def _meant(self, option: str) -> str:
        if self._typed and option in self._typed.before:
            return " (it stands before --)"
        near = difflib.get_close_matches(option, self._option_string_actions, n=1, cutoff=0.7)
        if near:
            return f" (did you mean {near[0]}?)"
        return f" ({self.hint})" if self.hint else ""

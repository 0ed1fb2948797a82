"""What is wrong with a contract: every fault names its place in the document and the way out."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault, or one warning. ``place`` is dotted: ``schema.employees.properties.birth_year.logicalType``."""

    place: str
    what: str
    way_out: str = ""

    def __str__(self) -> str:
        """Return one line: place, what, way out."""
        line = f"{self.place}: {self.what}" if self.place else self.what
        return f"{line} ({self.way_out})" if self.way_out else line


class ContractError(ConfigError):
    """A contract that can not be used; ``faults`` are all that is wrong with it, at least one."""

    def __init__(self, faults: Sequence[Fault], *, where: str = "") -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults), where=where)


class Faults:
    """Collects faults in the order in which they are found, each once."""

    def __init__(self) -> None:
        self._found: dict[Fault, None] = {}

    def add(self, place: str, what: str, way_out: str = "") -> None:
        """Keep a fault."""
        self._found[Fault(place, what, way_out)] = None

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self._found)

    def all(self) -> tuple[Fault, ...]:
        """Return them in their order."""
        return tuple(self._found)

    def raise_any(self, where: str) -> None:
        """Raise ContractError where there are any."""
        if self._found:
            raise ContractError(self.all(), where=where)


def meant(name: str, known: Iterable[str], *, else_say: str = "") -> str:
    """Return ``did you mean …?`` for a name that is like a known one, else the known names (or ``else_say``)."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return else_say or f"one of {', '.join(names)}"

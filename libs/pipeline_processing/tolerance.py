"""How many failed inputs a run may have and still count as a success. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

from etl_core.errors import ConfigError

_TEXT: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(%?)")
_WHOLE: Final = 100
_SHOWN: Final = 40
"""Characters of a wrong text that the error repeats."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A number of inputs, or a share of those planned; ``text`` is how it was given."""

    text: str
    limit: Fraction
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``3`` or ``2.5%``, of up to 12 digits and 6 decimals; ConfigError for anything else."""
        match = _TEXT.fullmatch(text.strip())
        if match is None or (match[2] and Fraction(match[1]) > _WHOLE) or (not match[2] and "." in match[1]):
            raise ConfigError(
                f"{text[:_SHOWN]!r} is neither a count nor a percentage",
                where="--tolerate-failures",
                way_out="give a number of inputs such as 3, or a share from 0% to 100%",
            )
        number = Fraction(match[1])
        return cls(text.strip(), number / _WHOLE if match[2] else number, bool(match[2]))

    def allows(self, failed: int, planned: int) -> bool:
        """Say whether ``failed`` of ``planned`` inputs may fail; exactly the limit may."""
        return failed <= (self.limit * planned if self.is_share else self.limit)

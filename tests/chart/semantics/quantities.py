"""Kubernetes' quantities: 500m, 1Gi, 2."""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_UNITS = {"": Fraction(1), "m": Fraction(1, 1000)}
_UNITS |= {name: Fraction(1000) ** power for power, name in enumerate(("k", "M", "G", "T", "P", "E"), start=1)}
_UNITS |= {f"{name}i": Fraction(1024) ** power for power, name in enumerate(("K", "M", "G", "T", "P", "E"), start=1)}


def amount(quantity: object) -> Fraction:
    """Return what a quantity is worth; ValueError for what is none."""
    match = _FORM.fullmatch(str(quantity))
    if not match:
        raise ValueError(f"{quantity!r} is no quantity")
    return Fraction(match[1]) * _UNITS[match[2] or ""]

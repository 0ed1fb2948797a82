"""The normalisers a contract may name, and the options of each: one table for who checks them and who compiles them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline_processing.contracts.model import Step
    from pipeline_processing.model import Json

OptionKind = Literal["flag", "number", "text", "texts", "map"]
"""``flag`` true or false, ``number`` a whole number, ``text``, ``texts`` a list of texts, ``map`` text to text."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a step: what it must be, and, where it is one of a few texts, which."""

    kind: OptionKind
    choices: tuple[str, ...] = ()
    required: bool = False


_ORDERS: Final = ("MDY", "DMY", "YMD")
_INVALID: Final = ("fault", "keep", "null")
_DATES: Final = {
    "formats": Option("texts"),
    "order": Option("text", _ORDERS),
    "pivot": Option("number"),
    "max_year": Option("number"),
    "excel": Option("flag"),
    "sentinels": Option("text", ("null", "fault", "keep")),
    "strict": Option("flag"),
}
_NUMBERS: Final = {
    "thousands": Option("text"),
    "decimal": Option("text", (".", ",")),
}

STEPS: Final[Mapping[str, Mapping[str, Option]]] = {
    "trim": {"characters": Option("text")},
    "collapse_spaces": {},
    "unicode": {
        "form": Option("text", ("NFC", "NFKC", "NFD", "NFKD")),
        "punctuation": Option("flag"),
        "accents": Option("text", ("keep", "strip")),
    },
    "upper": {},
    "lower": {},
    "title": {},
    "person_name": {
        "order": Option("text", ("first_last", "last_first")),
        "part": Option("text", ("full", "first", "middle", "last", "suffix")),
        "case": Option("text", ("title", "upper", "keep")),
    },
    "date": _DATES,
    "timestamp": {**_DATES, "timezone": Option("text")},
    "time": {"formats": Option("texts")},
    "integer": _NUMBERS,
    "number": {**_NUMBERS, "percent": Option("flag")},
    "money": {**_NUMBERS, "currencies": Option("texts")},
    "phone": {
        "region": Option("text"),
        "format": Option("text", ("e164", "national", "international")),
        "invalid": Option("text", _INVALID),
    },
    "email": {"invalid": Option("text", _INVALID)},
    "us_state": {"to": Option("text", ("code", "name")), "invalid": Option("text", _INVALID)},
    "us_address": {"case": Option("text", ("upper", "title"))},
    "boolean": {"true": Option("texts"), "false": Option("texts")},
    "replace": {
        "pattern": Option("text"),
        "with": Option("text"),
        "literal": Option("flag"),
        "values": Option("map"),
    },
    "null_if": {"values": Option("texts", required=True), "ignore_case": Option("flag")},
    "pad": {
        "length": Option("number", required=True),
        "side": Option("text", ("left", "right")),
        "fill": Option("text"),
    },
    "strip_prefix": {"text": Option("text", required=True)},
    "strip_suffix": {"text": Option("text", required=True)},
    "digits": {},
}

FALLIBLE: Final = frozenset(
    {"date", "timestamp", "time", "integer", "number", "money", "phone", "email", "us_state", "boolean"}
)
"""Steps that may find that a text can not be read: a column with one needs a check of kind *type*, strings too."""


def problems(step: Step) -> Iterator[str]:
    """Yield what is wrong with ``step``, in words for the contract's author; nothing where it is right."""
    options = STEPS.get(step.name)
    if options is None:
        yield f"there is no normaliser {step.name!r}; there are: {', '.join(STEPS)}"
        return
    for name in step.options:
        if name not in options:
            known = f"; it has: {', '.join(options)}" if options else " nor any other"
            yield f"normaliser {step.name!r} has no option {name!r}{known}"
    for name, option in options.items():
        if name in step.options:
            if not _fits(option, step.options[name]):
                yield f"option {name!r} of normaliser {step.name!r} must be {_wanted(option)}"
        elif option.required:
            yield f"normaliser {step.name!r} needs the option {name!r}"


def _fits(option: Option, value: Json) -> bool:
    match option.kind:
        case "flag":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int) and not isinstance(value, bool)
        case "text":
            return isinstance(value, str) and (not option.choices or value in option.choices)
        case "texts":
            return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
        case "map":
            return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _wanted(option: Option) -> str:
    if option.choices:
        return f"one of {', '.join(option.choices)}"
    return {
        "flag": "true or false",
        "number": "a whole number",
        "text": "a text",
        "texts": "a list of texts",
        "map": "a mapping of texts to texts",
    }[option.kind]

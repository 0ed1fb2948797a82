"""Our own `customProperties`: which there are at which level, and the JSON schema of each one's value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from pipeline_processing.contracts.model import ROW_KINDS, Action, Protection, Severity
from pipeline_processing.contracts.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.contracts.steps import Option
    from pipeline_processing.model import Json

FOREIGN: Final = r"^[A-Za-z][A-Za-z0-9_-]*[.:/][^\s].*$|^x-.+$"
"""Names of other vendors' properties, which we leave alone: ``soda.checks``, ``acme:owner``, ``x-review``."""

DIMENSIONS: Final = ("accuracy", "completeness", "conformity", "consistency", "coverage", "timeliness", "uniqueness")
OPERATORS: Final = {
    "mustBe": "=",
    "mustNotBe": "!=",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
    "mustBeBetween": "between",
    "mustNotBeBetween": "not between",
}
UNITS: Final = ("rows", "percent")
ACTIONS: Final = get_args(Action)
SEVERITIES: Final = get_args(Severity)
COLUMN_KINDS: Final = tuple(sorted(ROW_KINDS - {"row", "overlap", "primary_key"}))
"""Kinds of the checks that a column's own rules make; ``actions`` says what they do."""

TEXT: Final = {"type": "string", "minLength": 1}
_ANY_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}
_FLAG: Final = {"type": "boolean"}
_SHARE: Final = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT_MAP: Final = {"type": "object", "additionalProperties": TEXT, "minProperties": 1}


def closed(properties: Mapping[str, Json], *required: str) -> dict[str, Json]:
    """Return the schema of an object that has these properties and no others."""
    schema: dict[str, Json] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def choice(values: tuple[str, ...]) -> dict[str, Json]:
    """Return the schema of one of ``values``."""
    return {"type": "string", "enum": list(values)}


OPERATOR_SCHEMAS: Final[Mapping[str, Json]] = {
    name: {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}
    if name.endswith("Between")
    else {"type": ["number", "string", "boolean"]}
    if name in {"mustBe", "mustNotBe"}
    else {"type": "number"}
    for name in OPERATORS
}
_RULE: Final = {
    "name": TEXT,
    "action": choice(ACTIONS),
    "severity": choice(SEVERITIES),
    "dimension": choice(DIMENSIONS),
    "description": _ANY_TEXT,
}


def _option(option: Option) -> dict[str, Json]:
    match option.kind:
        case "flag":
            return _FLAG
        case "number":
            return {"type": "integer"}
        case "text":
            return choice(option.choices) if option.choices else _ANY_TEXT
        case "texts":
            return {"type": "array", "items": _ANY_TEXT, "minItems": 1}
        case "map":
            return {"type": "object", "additionalProperties": _ANY_TEXT, "minProperties": 1}


def _step() -> dict[str, Json]:
    """Return the schema of one normaliser: its name, or a mapping of its name to its options."""
    bare = [name for name, options in STEPS.items() if not any(option.required for option in options.values())]
    with_options = {
        name: closed(
            {key: _option(option) for key, option in options.items()},
            *(key for key, option in options.items() if option.required),
        )
        for name, options in STEPS.items()
    }
    return {
        "type": ["string", "object"],
        "if": {"type": "string"},
        "then": {"enum": bare},
        "else": {"properties": with_options, "additionalProperties": False, "minProperties": 1, "maxProperties": 1},
    }


COLUMN: Final[Mapping[str, Json]] = {
    "sources": {
        **_TEXTS,
        "items": _ANY_TEXT,
        "description": "Header names it is read from, in the order of preference.",
    },
    "normalise": {"type": "array", "items": _step(), "description": "Normalisers, applied in their order."},
    "valueSynonyms": {
        "type": "object",
        "additionalProperties": {"type": "array", "items": _ANY_TEXT, "minItems": 1},
        "minProperties": 1,
        "description": "Other spellings of an allowed value: {MALE: [M, Man]}; compared without regard to case.",
    },
    "protect": {**choice(get_args(Protection)), "description": "Write it keyed: hash, or tokenise."},
    "derive": {**TEXT, "description": "A Polars SQL expression over the other columns."},
    "lookup": {
        **closed({"reference": TEXT, "on": _TEXT_MAP, "take": TEXT}, "reference", "on", "take"),
        "description": "Take its value from a reference table.",
    },
    "actions": {
        **closed({kind: choice(ACTIONS) for kind in COLUMN_KINDS}),
        "minProperties": 1,
        "description": "What this column's own rules do when they do not hold: {range: warn}.",
    },
}

DATASET: Final[Mapping[str, Json]] = {
    "dedupe": {
        **closed(
            {
                "key": _TEXTS,
                "order": {
                    "type": "array",
                    "items": {"type": "string", "pattern": r"^\S.*?( (asc|desc))?$"},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            },
            "key",
        ),
        "description": "Of rows with an equal key the first by `order` stays: order: [updated desc, row_id].",
    },
    "references": {
        "type": "array",
        "minItems": 1,
        "items": closed({"name": TEXT, "path": TEXT, "query": TEXT}, "name"),
        "description": "Reference tables: a path (s3://… or a file; CSV or Parquet) or a query of the database.",
    },
    "quarantine": closed({"maxShare": _SHARE, "keepRaw": _FLAG}),
    "drift": closed(
        {
            "psi": {"type": ["number", "null"], "minimum": 0},
            "nullRate": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "rows": {"type": ["number", "null"], "minimum": 0},
            "newCategories": _FLAG,
            "lostCategories": _FLAG,
            "action": choice(tuple(action for action in ACTIONS if action != "quarantine")),
        }
    ),
    "format": {
        **closed(
            {
                "kind": choice(("csv", "ndjson", "json", "xlsx", "xls", "parquet", "fixed")),
                "delimiter": {"type": "string", "minLength": 1, "maxLength": 1},
                "quote": {"type": "string", "maxLength": 1},
                "encoding": TEXT,
                "headerRow": {"type": "integer", "minimum": 0},
                "names": _TEXTS,
                "sheet": {"type": ["string", "integer"]},
                "records": TEXT,
                "widths": {
                    "type": "array",
                    "minItems": 1,
                    "items": closed(
                        {
                            "name": TEXT,
                            "start": {"type": "integer", "minimum": 1},
                            "length": {"type": "integer", "minimum": 1},
                        },
                        "name",
                        "start",
                        "length",
                    ),
                },
                "nullValues": {"type": "array", "items": _ANY_TEXT},
                "totals": TEXT,
            }
        ),
        "description": "How the source files are written; what is not said is detected.",
    },
    "unknownColumns": {
        **choice(("ignore", "fail_file")),
        "description": "What a source column does that no column reads. Either way it is counted and named.",
    },
    "rowRules": {
        "type": "array",
        "minItems": 1,
        "items": closed(
            {**_RULE, "expression": TEXT, "column": TEXT, "unit": choice(UNITS), **OPERATOR_SCHEMAS},
            "name",
            "expression",
        ),
        "description": "Rules of a row: a Polars SQL expression, true where it holds, null where it does not apply.",
    },
    "overlaps": {
        "type": "array",
        "minItems": 1,
        "items": closed(
            {
                **_RULE,
                "by": _TEXTS,
                "start": TEXT,
                "end": TEXT,
                "closed": _FLAG,
                "unit": choice(UNITS),
                **OPERATOR_SCHEMAS,
            },
            "name",
            "by",
            "start",
            "end",
        ),
        "description": "Intervals [start, end) that overlap another of the same `by`; closed: with the end's day.",
    },
    "actions": {
        **closed({kind: choice(ACTIONS) for kind in sorted({*COLUMN_KINDS, "primary_key"})}),
        "minProperties": 1,
        "description": "What the columns' own rules do, where a column's `actions` do not say it.",
    },
}

CHECK: Final[Mapping[str, Json]] = {
    "action": {**choice(ACTIONS), "description": "What the check does when it does not hold."},
}

"""The JSON schema of the contracts we accept: ODCS v3.1, narrowed to what we do, with our own properties.

`load` validates against it and editors read it (`schema.json`, which a test keeps in step), so both know the same.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from pipeline_processing.contracts import extensions
from pipeline_processing.contracts.extensions import DIMENSIONS, OPERATOR_SCHEMAS, SEVERITIES, choice, closed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.model import Json

VERSIONS: Final = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0")
LOGICAL_TYPES: Final = ("string", "integer", "number", "boolean", "date", "timestamp", "time")
METRICS: Final = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")
STRING_FORMATS: Final[Mapping[str, str]] = {
    "email": r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
    "uuid": r"^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$",
    "uri": r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$",
    "hostname": r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$",
    "ipv4": r"^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\.|$)){4}$",
}
INTEGER_FORMATS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "i8": (-(2**7), 2**7 - 1),
    "i16": (-(2**15), 2**15 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "i64": (None, None),
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
}
"""Limits that a width implies; columns hold 64 bits, so wider ones are refused."""

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_NUMBER: Final = {"type": "number"}
_LENGTH: Final = {"type": "integer", "minimum": 0}
_FREE: Final = {"type": ["object", "array", "string"]}
"""Descriptive parts, that we read nothing from."""
_ANY: Final[dict[str, Json]] = {}

_ELEMENT: Final = {
    "id": _TEXT,
    "description": _TEXT,
    "businessName": _TEXT,
    "physicalName": _TEXT,
    "physicalType": _TEXT,
    "authoritativeDefinitions": _FREE,
    "tags": {"type": "array", "items": _TEXT},
    "deprecated": _FLAG,
}
_NUMBER_OPTIONS: Final = {
    "multipleOf": {"type": "number", "exclusiveMinimum": 0},
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _NUMBER,
    "exclusiveMaximum": _NUMBER,
}
_DATE_OPTIONS: Final = {
    "format": _TEXT,
    "minimum": _TEXT,
    "maximum": _TEXT,
    "exclusiveMinimum": _TEXT,
    "exclusiveMaximum": _TEXT,
}
TYPE_OPTIONS: Final[Mapping[str, Mapping[str, Json]]] = {
    "string": {
        "minLength": _LENGTH,
        "maxLength": _LENGTH,
        "pattern": _TEXT,
        "format": choice(tuple(STRING_FORMATS)),
    },
    "integer": {**_NUMBER_OPTIONS, "format": choice(tuple(INTEGER_FORMATS))},
    "number": {**_NUMBER_OPTIONS, "format": choice(("f32", "f64"))},
    "boolean": {},
    "date": _DATE_OPTIONS,
    "timestamp": {**_DATE_OPTIONS, "timezone": _FLAG, "defaultTimezone": _TEXT},
    "time": _DATE_OPTIONS,
}


@cache
def schema() -> Mapping[str, Json]:
    """Return the schema of a contract's document."""
    return {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "title": "Contract of pipeline-processing: Open Data Contract Standard v3.1, the part that is honoured",
        **closed(
            {
                "apiVersion": choice(VERSIONS),
                "kind": choice(("DataContract",)),
                "id": {"type": "string", "minLength": 1},
                "version": {"type": "string", "minLength": 1},
                "status": _TEXT,
                "schema": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/dataset"}},
                "slaDefaultElement": _TEXT,
                "slaProperties": {"type": "array", "items": {"$ref": "#/$defs/sla"}},
                "customProperties": _custom({}),
                "description": {"type": ["object", "string"]},
                "tags": {"type": "array", "items": _TEXT},
                **dict.fromkeys(("name", "tenant", "domain", "dataProduct", "contractCreatedTs"), _TEXT),
                **dict.fromkeys(("servers", "support", "price", "team", "roles"), _FREE),
                **dict.fromkeys(("authoritativeDefinitions", "context"), _FREE),
            },
            "apiVersion",
            "kind",
            "id",
            "version",
            "status",
            "schema",
        ),
        "$defs": {
            "dataset": _dataset(),
            "column": _column(),
            "quality": _quality(),
            "sla": closed(
                {
                    "id": _TEXT,
                    "property": {"type": "string", "minLength": 1},
                    "value": {"type": ["string", "number", "boolean", "null"]},
                    "valueExt": {"type": ["string", "number", "boolean", "null"]},
                    **dict.fromkeys(("unit", "element", "driver", "description", "scheduler", "schedule"), _TEXT),
                    "authoritativeDefinitions": _FREE,
                    "customProperties": _custom({}),
                },
                "property",
                "value",
            ),
        },
    }


def _dataset() -> dict[str, Json]:
    return closed(
        {
            **_ELEMENT,
            "name": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$", "maxLength": 100},
            "logicalType": choice(("object",)),
            "dataGranularityDescription": _TEXT,
            **dict.fromkeys(("synonyms", "context"), _FREE),
            "properties": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/column"}},
            "quality": {"type": "array", "items": {"$ref": "#/$defs/quality"}},
            "customProperties": _custom(extensions.DATASET),
        },
        "name",
        "properties",
    )


def _column() -> dict[str, Json]:
    column = closed(
        {
            **_ELEMENT,
            "name": {"type": "string", "pattern": r"^[^\W_][^,;{}()=\x00-\x1f\x7f]*$", "maxLength": 128},
            "logicalType": choice(LOGICAL_TYPES),
            "logicalTypeOptions": {"type": "object"},
            "required": _FLAG,
            "unique": _FLAG,
            "primaryKey": _FLAG,
            "primaryKeyPosition": {"type": "integer"},
            "partitioned": _FLAG,
            "partitionKeyPosition": {"type": "integer"},
            "classification": _TEXT,
            "examples": {"type": "array"},
            "enum": {
                "type": "array",
                "minItems": 1,
                "items": closed(
                    {
                        "value": {"type": ["string", "number", "boolean"]},
                        "id": _TEXT,
                        "label": _TEXT,
                        "description": _TEXT,
                        "tags": _FREE,
                        "authoritativeDefinitions": _FREE,
                        "customProperties": _custom({}),
                    },
                    "value",
                ),
            },
            "quality": {"type": "array", "items": {"$ref": "#/$defs/quality"}},
            "customProperties": _custom(extensions.COLUMN),
            "criticalDataElement": _FLAG,
            "encryptedName": _TEXT,
            "transformSourceObjects": {"type": "array", "items": _TEXT},
            "transformLogic": _TEXT,
            "transformDescription": _TEXT,
            "synonyms": _FREE,
            "semanticType": choice(("column",)),
        },
        "name",
        "logicalType",
    )
    column["allOf"] = [
        {
            "if": {"properties": {"logicalType": {"const": name}}, "required": ["logicalType"]},
            "then": {"properties": {"logicalTypeOptions": closed(options)}},
        }
        for name, options in TYPE_OPTIONS.items()
    ]
    return column


def _quality() -> dict[str, Json]:
    return closed(
        {
            "id": _TEXT,
            "name": {"type": "string", "minLength": 1},
            "type": choice(("library", "sql", "text")),
            "metric": choice(METRICS),
            "rule": choice(METRICS),
            "arguments": {"type": "object"},
            **OPERATOR_SCHEMAS,
            "unit": choice(extensions.UNITS),
            "query": {"type": "string", "minLength": 1},
            "severity": choice(SEVERITIES),
            "dimension": choice(DIMENSIONS),
            "customProperties": _custom(extensions.CHECK),
            **dict.fromkeys(("description", "businessImpact", "method", "scheduler", "schedule"), _TEXT),
            "tags": _FREE,
            "authoritativeDefinitions": _FREE,
        }
    )


def _custom(ours: Mapping[str, Json]) -> dict[str, Json]:
    """Return the schema of a list of custom properties: ours by name, others by their vendor's mark.

    Where there are none of ours any name but one of ours is another's: it can not be a slip of the pen.
    """
    item = closed(
        {"id": _TEXT, "property": _TEXT, "value": _ANY, "description": _TEXT, "vendor": _TEXT},
        "property",
        "value",
    )
    if not ours:
        elsewhere = sorted({*extensions.DATASET, *extensions.COLUMN, *extensions.CHECK})
        item["if"] = {"not": {"required": ["vendor"]}}
        item["then"] = {"properties": {"property": {"not": {"enum": elsewhere}}}}
        return {"type": "array", "items": item}
    known = {"anyOf": [{"enum": list(ours)}, {"pattern": extensions.FOREIGN}]}
    item["allOf"] = [
        {"if": {"not": {"required": ["vendor"]}}, "then": {"properties": {"property": known}}},
        *(
            {
                "if": {"properties": {"property": {"const": name}}, "not": {"required": ["vendor"]}},
                "then": {"properties": {"value": value}},
            }
            for name, value in ours.items()
        ),
    ]
    return {"type": "array", "items": item}

"""What the chart's schema says of `settings`: every setting of the product, so that a misspelt one is refused."""

from __future__ import annotations

import typing
from datetime import timedelta
from typing import Any, Literal

from pipeline_processing.settings import Settings

FOREIGN = "^([A-OQ-Z_][A-Z0-9_]*|P([A-HJ-Z0-9_][A-Z0-9_]*)?)$"
"""Other variables, such as the AWS SDK's: any that do not begin with PI (the pattern language can not say "not")."""


def settings_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            f"PIPELINE_{name.upper()}": _text(field.annotation) for name, field in sorted(Settings.model_fields.items())
        },
        "patternProperties": {FOREIGN: {"type": "string"}},
    }


def _text(annotation: Any) -> dict[str, Any]:  # noqa: ANN401 - a type
    """Return the form of a variable's text; an empty one is not set."""
    if annotation is timedelta:
        return {"$ref": "#/definitions/durationOrNone"}
    if annotation is int:
        return {"type": "string", "pattern": "^[0-9]*$"}
    if typing.get_origin(annotation) is Literal:
        return {"type": "string", "enum": ["", *typing.get_args(annotation)]}
    return {"type": "string"}

"""The parts of the standard that describe and that we read nothing from: checked against the standard's own schema."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import orjson
from jsonschema import Draft201909Validator  # type: ignore[import-untyped] # it has no types of its own
from jsonschema.exceptions import best_match  # type: ignore[import-untyped] # see above

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema.exceptions import ValidationError

    from pipeline_processing.model import Json

PARTS: Final = ("authoritativeDefinitions", "description", "price", "roles", "servers", "support", "team")


def errors_of(document: Mapping[str, Json]) -> Iterator[tuple[list[str | int], str]]:
    """Yield where and how a descriptive part is not as the standard has it. ``description`` may be a text, as in v2."""
    for name in PARTS:
        if name in document and not (name == "description" and isinstance(document[name], str)):
            for error in _validator(name).iter_errors(document[name]):
                leaf = best_match([error]) or error
                yield [name, *leaf.absolute_path], _said(leaf)


@cache
def _validator(name: str) -> Draft201909Validator:
    standard = orjson.loads(files("open_data_contract_standard").joinpath("schema.json").read_bytes())
    return Draft201909Validator({**standard["properties"][name], "$defs": standard["$defs"]})


def _said(error: ValidationError) -> str:
    if error.validator in {"additionalProperties", "unevaluatedProperties"}:
        return f"{error.message.partition('(')[2].rstrip(')')}: the standard has no such field here"
    return str(error.message)

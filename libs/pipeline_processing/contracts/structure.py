"""A document against the schema: every fault in the words of the contract's author, and the part that is sound."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft201909Validator  # type: ignore[import-untyped] # it has no types of its own

from pipeline_processing.contracts import extensions
from pipeline_processing.contracts.faults import meant
from pipeline_processing.contracts.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped] # see above

    from pipeline_processing.contracts.faults import Faults
    from pipeline_processing.model import Json

_ROUNDS: Final = 10
_FEW: Final = 12
"""Names that a fault lists."""
_GONE: Final = object()
_NAMED_BY: Final = ("name", "property", "metric", "value")
_ALL_OURS: Final = {
    **dict.fromkeys(extensions.DATASET, "of a table (schema)"),
    **dict.fromkeys(extensions.COLUMN, "of a column"),
    **dict.fromkeys(extensions.CHECK, "of a quality check"),
    "actions": "of a table or a column",
}
_NOT_DONE: Final = {
    "relationships": (
        "relationships are not supported",
        "customProperties lookup takes a column from a reference table and counts rows without a match",
    ),
    "items": ("arrays are not supported", "flatten it: one column a value"),
    "map": ("maps are not supported", "flatten it: one column a value"),
    "properties": ("nested columns are not supported", "flatten it: one column a value"),
    "engine": ("checks of other engines are not supported", "write it as library, sql or customProperties rowRules"),
    "implementation": (
        "checks of other engines are not supported",
        "write it as library, sql or customProperties rowRules",
    ),
}
_WORDS: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


@cache
def _validator() -> Draft201909Validator:
    return Draft201909Validator(schema())


def sound(document: Json, faults: Faults) -> Json:
    """Add every fault of the structure to ``faults``; return a copy of what has none, so that more can be found."""
    rest = copy.deepcopy(document)
    for number in range(_ROUNDS):
        errors = sorted(_validator().iter_errors(rest), key=lambda error: [str(part) for part in error.absolute_path])
        if not errors:
            break
        for error in errors:
            if number == 0:
                _tell(error, document, faults)
            _prune(error, rest)
        if not any(error.absolute_path or error.validator == "additionalProperties" for error in errors):
            break
        rest = _swept(rest)
    return rest


def place_of(document: Json, path: Iterable[str | int]) -> str:
    """Return the dotted place of ``path``: list items by their name where they have one, custom values by theirs."""
    parts: list[str] = []
    value = document
    in_custom = False
    for step in path:
        value = value[step]
        if isinstance(step, int):
            named = next(
                (value[key] for key in _NAMED_BY if isinstance(value, dict) and _is_name(value.get(key))), None
            )
            in_custom = bool(parts) and parts[-1] == "customProperties"
            parts.append(str(named) if named is not None else str(step + 1))
        elif in_custom and step == "value":
            in_custom = False
        else:
            parts.append(step)
    return ".".join(parts)


def _is_name(value: Json) -> bool:
    return isinstance(value, str) and bool(value)


def _tell(error: ValidationError, document: Json, faults: Faults) -> None:
    place = place_of(document, error.absolute_path).removesuffix(".property")
    match error.validator:
        case "additionalProperties":
            for name in _extra(error):
                faults.add(f"{place}.{name}" if place else name, *_unknown(name, error))
        case "required":
            for name in error.validator_value:
                if name not in error.instance:
                    faults.add(place, f"{name} is missing", _needed(name))
        case "enum" | "anyOf" | "not":
            faults.add(place, *_not_one_of(error))
        case "type":
            wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
            faults.add(place, f"{_shown(error.instance)} is not {' or '.join(_WORDS[name] for name in wanted)}")
        case _:
            faults.add(place, _limit(error), _needed(place.rpartition(".")[2]) if error.validator == "minItems" else "")


def _extra(error: ValidationError) -> list[str]:
    return [name for name in error.instance if name not in error.schema["properties"]]


def _unknown(name: str, error: ValidationError) -> tuple[str, str]:
    if name in _NOT_DONE:
        return _NOT_DONE[name]
    known = list(error.schema["properties"])
    if not known:
        return f"{name} is not supported here", "leave it out"
    say = "the standard has no such field here" if len(known) > _FEW else ""
    return f"{name} is not known here", meant(name, known, else_say=say)


def _needed(name: str) -> str:
    return {
        "logicalType": "one of string, integer, number, boolean, date, timestamp, time",
        "properties": "a table has at least one column",
        "schema": "a contract describes at least one table",
    }.get(name, "")


def _not_one_of(error: ValidationError) -> tuple[str, str]:
    key, value = (error.absolute_path or [""])[-1], error.instance
    if key == "property":
        return _not_ours(str(value), error)
    if key == "semanticType":
        return f"a {value} is computed by who asks for it, and no column of a table", "leave it out, or derive"
    choices = [str(choice) for choice in error.validator_value] if error.validator == "enum" else []
    if key == "logicalType" and value in ("object", "array", "map", "vector"):
        return f"columns of type {value} are not supported", "flatten it: one column a value"
    if key == "type" and value == "custom":
        return _NOT_DONE["engine"]
    if key == "apiVersion":
        return f"version {value} of the standard is not supported", f"one of {', '.join(choices)}"
    return f"{_shown(value)} is not supported", meant(str(value), choices)


def _not_ours(name: str, error: ValidationError) -> tuple[str, str]:
    if name in _ALL_OURS:
        return f"{name} is a property {_ALL_OURS[name]}", "move it there"
    ours = [value for part in error.validator_value for value in part.get("enum", ())]
    foreign = f"properties of other tools are marked: vendor.{name}"
    near = meant(name, ours, else_say=f"{'ours here are ' + ', '.join(ours) + '; ' if ours else ''}{foreign}")
    return f"the custom property {name} is not known", near


def _limit(error: ValidationError) -> str:
    value, limit = error.instance, error.validator_value
    unit = "value" if limit == 1 else "values"
    texts = {
        "minItems": f"needs at least {limit} {unit}",
        "maxItems": f"takes at most {limit} {unit}",
        "uniqueItems": "the same value stands twice",
        "minLength": "is empty",
        "maxLength": f"is longer than {limit} characters",
        "minProperties": f"needs at least {limit} entry",
        "maxProperties": f"takes one entry, found {len(value) if isinstance(value, dict) else 0}",
        "pattern": f"{_shown(value)} is not allowed here: it must match {limit}",
        "minimum": f"{_shown(value)} is less than {limit}",
        "maximum": f"{_shown(value)} is more than {limit}",
        "exclusiveMinimum": f"{_shown(value)} is not more than {limit}",
    }
    return str(texts.get(error.validator, error.message))


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what fits on a line


def _prune(error: ValidationError, document: Json) -> None:
    path: Sequence[Any] = list(error.absolute_path)
    if "quality" in path[:-1]:  # half a check is another check
        path = path[: path.index("quality") + 2]
    elif error.validator == "additionalProperties":
        for name in _extra(error):
            error.instance.pop(name, None)
        return
    if path:
        parent = document
        for step in path[:-1]:
            parent = parent[step]
            if parent is _GONE:
                return
        parent[path[-1]] = _GONE


def _swept(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _swept(child) for key, child in value.items() if child is not _GONE}
    if isinstance(value, list):
        return [_swept(child) for child in value if child is not _GONE]
    return value


def custom_names_once(document: Json, faults: Faults, path: tuple[str | int, ...] = (), *, root: Json = None) -> None:
    """Add a fault for every custom property that stands twice in one list: only one of them could be meant."""
    root = document if root is None else root
    if isinstance(document, dict):
        properties = document.get("customProperties")
        if isinstance(properties, list):
            names = [str(one.get("property")) for one in properties if isinstance(one, dict) and "vendor" not in one]
            for name in sorted({name for name in names if names.count(name) > 1}):
                faults.add(f"{place_of(root, (*path, 'customProperties'))}.{name}", "the property stands twice")
        for key, value in document.items():
            custom_names_once(value, faults, (*path, key), root=root)
    elif isinstance(document, list):
        for index, value in enumerate(document):
            custom_names_once(value, faults, (*path, index), root=root)

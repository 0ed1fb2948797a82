"""Reads a deployment: a document of its own, or values of the chart over the chart's defaults."""

from __future__ import annotations

import difflib
import json
from functools import partial, reduce
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from etl_core.errors import ConfigError, check_all
from pipeline_processing.deployment import ALL_SECTIONS, merged, parse
from pipeline_processing.deployment.zones import check_zone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from pipeline_processing.deployment import Deployment

PACKED: Final = "chart_values.yaml"
"""The chart's defaults, where the wheel has them."""
SCHEMA: Final = "chart_values.schema.json"
"""The schema of the chart's values, the same."""
_LONGEST: Final = 200
"""Characters of one fault that are shown: it repeats the value that is refused, and the pattern, at any length."""
_HELMS_OWN: Final = ("global",)
"""What values may hold beside the chart's own."""


def from_document(path: Path, *, without: Collection[str] = ()) -> Deployment:
    """Return the deployment that a file describes, with this module's own defaults; ConfigError for what is wrong.

    Sections of ``without`` are not looked at.
    """
    document = {name: part for name, part in _read(path).items() if name not in without}
    return _checked(parse(document, where=str(path)), str(path))


def from_chart(paths: Sequence[Path]) -> Deployment:
    """Return what the chart installs with these files of values, later ones winning, as ``helm -f`` does."""
    where, defaults = ", ".join(str(path) for path in paths), _defaults()
    given = [_read(path) for path in paths]
    for key in sorted({str(key) for values in given for key in values} - {*defaults, *_HELMS_OWN}):
        near = difflib.get_close_matches(key, defaults, n=1)
        raise ConfigError(
            f"{key}: the chart has no such value",
            where=where,
            way_out=f"did you mean {near[0]}?" if near else "see the chart's README",
        )
    values = reduce(merged, given, defaults)
    deployment = _checked(parse(sections(values), where=where), where)
    _refuse_misfits(values, where)
    return deployment


def _refuse_misfits(values: Mapping[str, Any], where: str) -> None:
    """Raise for what the chart's schema refuses, as Helm would."""
    from jsonschema import Draft7Validator  # type: ignore[import-untyped] # noqa: PLC0415 - it has no types; no worker needs it

    schema = json.loads(_packed(SCHEMA, "values.schema.json").read_text(encoding="utf-8"))
    errors = sorted(Draft7Validator(schema).iter_errors(values), key=lambda error: [str(step) for step in error.path])
    if errors:
        faults = [f"{'.'.join(str(step) for step in error.path) or 'values'}: {_said(error)}" for error in errors]
        raise ConfigError("; ".join(faults), where=where, way_out="the chart's README has every value with its kind")


def _said(error: Any) -> str:  # noqa: ANN401 - jsonschema has no types
    message = str(error.message)
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"


def _checked(deployment: Deployment, where: str) -> Deployment:
    zones = {schedule.name: schedule.timezone for schedule in deployment.schedules}
    check_all(*(partial(check_zone, zone, where=f"{where}: schedule {name}") for name, zone in zones.items()))
    return deployment


def sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the chart's values that make the deployment."""
    return {name: values[name] for name in ALL_SECTIONS if name in values}


def _defaults() -> dict[str, Any]:
    return _read(_packed(PACKED, "values.yaml"))


def _packed(name: str, of_the_chart: str) -> Path | Traversable:
    """Return the chart's file: as the wheel has it, else as the checkout does."""
    packed = resources.files("pipeline_processing") / name
    return packed if packed.is_file() else Path(__file__).parents[3] / "charts/pipeline-processing" / of_the_chart


def _read(path: Path | Traversable) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Strict)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(
            f"can not be read: {error.strerror}", where=str(path), way_out="name a file of YAML"
        ) from error
    except RecursionError:
        raise ConfigError("is nested too deeply", where=str(path), way_out="write it flat") from None
    except (yaml.YAMLError, ValueError, AttributeError) as error:  # PyYAML's constructors raise what Python raises
        raise ConfigError(f"is no YAML: {error}", where=str(path), way_out="mend it at the place named") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError("holds no map of sections", where=str(path), way_out=f"sections: {', '.join(ALL_SECTIONS)}")
    return document


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice: the later one would win in silence."""


def _once(loader: _Strict, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[object] = set()
    for key, _ in node.value:
        name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
        if name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
        seen.add(name)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once)

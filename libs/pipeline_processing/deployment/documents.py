"""Reads a deployment: a document of its own, or values of the chart over the chart's defaults."""

from __future__ import annotations

import difflib
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
    return _checked(parse(sections(reduce(merged, given, defaults)), where=where), where)


def _checked(deployment: Deployment, where: str) -> Deployment:
    zones = {schedule.name: schedule.timezone for schedule in deployment.schedules}
    check_all(*(partial(check_zone, zone, where=f"{where}: schedule {name}") for name, zone in zones.items()))
    return deployment


def sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the chart's values that make the deployment."""
    return {name: values[name] for name in ALL_SECTIONS if name in values}


def _defaults() -> dict[str, Any]:
    packed = resources.files("pipeline_processing") / PACKED
    checkout = Path(__file__).parents[3] / "charts/pipeline-processing/values.yaml"
    return _read(packed if packed.is_file() else checkout)


def _read(path: Path | Traversable) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Strict)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(
            f"can not be read: {error.strerror}", where=str(path), way_out="name a file of YAML"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"is no YAML: {error}", where=str(path), way_out="mend it at the place named") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError("holds no map of sections", where=str(path), way_out=f"sections: {', '.join(ALL_SECTIONS)}")
    return document


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice: the later one would win in silence."""


def _once(loader: _Strict, node: yaml.MappingNode) -> dict[object, object]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for number, key in enumerate(keys):
        if key in keys[:number]:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key!r} stands twice", node.value[number][0].start_mark
            )
    return loader.construct_mapping(node, deep=True)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once)

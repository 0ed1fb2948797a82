"""Rung 3: every object has the shape that its Kubernetes, KEDA or the Prometheus operator demands."""

from __future__ import annotations

import json
import re
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
from referencing import Registry, Resource
from tests.chart import tools
from tests.chart.objects import Objects, title

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chart.objects import Object
    from tests.chart.rendering import Chart

CUSTOM = tools.ROOT.parent / "shared" / "kubernetes"
"""Schemas of custom resources, made from the operators' own definitions; they are kept beside the checkout."""


def rung(chart: Chart) -> list[str]:
    """Compare all that is rendered with its schema. A kind that has none is a finding, never let pass."""
    return [
        f"{render.name}: {title(one)}: {fault}"
        for render in chart.renders()
        for one in Objects.of_text(render.text).all
        for fault in faults(one, render.kubernetes)
    ]


def custom_resources_are_known() -> bool:
    """Tell whether the schemas of custom resources are there; without them those objects pass unseen."""
    return (CUSTOM / "INDEX.json").is_file()


def faults(one: Object, kubernetes: str) -> list[str]:
    """Return what is wrong with the shape of one object, for that Kubernetes."""
    return list(_faults(json.dumps(one, sort_keys=True), kubernetes))


@lru_cache(maxsize=4096)
def _faults(encoded: str, kubernetes: str) -> tuple[str, ...]:
    one = json.loads(encoded)
    api, kind = str(one.get("apiVersion")), str(one.get("kind"))
    if _is_custom(api):
        if not custom_resources_are_known():
            return ()
        validator = _custom(api, kind)
    else:
        validator = _core(api, kind, kubernetes.rpartition(".")[0])
    if validator is None:
        return (f"no schema for {api} {kind}",)
    return tuple(_told(validator.iter_errors(one)))


def _told(errors: Iterator[jsonschema.ValidationError]) -> Iterator[str]:
    for error in errors:
        yield f"{'.'.join(str(step) for step in error.absolute_path)}: {error.message[:300]}"


def _is_custom(api: str) -> bool:
    """Kubernetes' own groups have no dot, or end with k8s.io."""
    group = api.rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


@cache
def _custom(api: str, kind: str) -> Any:  # noqa: ANN401 - jsonschema makes its validators' classes at run time
    known: dict[str, str] = json.loads((CUSTOM / "INDEX.json").read_text(encoding="utf-8"))["schemas"]
    name = known.get(f"{api}/{kind}")
    return name and jsonschema.Draft7Validator(_read(CUSTOM / name))


@cache
def _core(api: str, kind: str, minor: str) -> Any:  # noqa: ANN401 - the same
    """Return the strict schema that kubernetes-validate bundles; its own `validate` reads 2 MB for each object."""
    bundled = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{minor}.0-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    with resources.as_file(bundled) as folder:
        path = folder / f"{kind.lower()}-{group}.json"
        if not path.is_file():
            return None
        schema = _read(path)
    return jsonschema.Draft202012Validator(schema, registry=_definitions(minor))


@cache
def _definitions(minor: str) -> Registry[Any]:
    bundled = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{minor}.0-local-strict"
    with resources.as_file(bundled) as folder:
        definitions: Resource[Any] = Resource.from_contents(_read(folder / "_definitions.json"))
    return definitions @ Registry()


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON
    return json.loads(path.read_text(encoding="utf-8"))

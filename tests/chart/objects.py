"""The objects of one render, and how they hang together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chart.documents import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Object = dict[str, Any]


@dataclass(frozen=True)
class Pods:
    """The pods that one object makes: their template, and who makes them."""

    owner: str
    kind: str
    object: Object
    template: Object

    @property
    def spec(self) -> Object:
        return dict(self.template.get("spec") or {})

    @property
    def labels(self) -> dict[str, str]:
        return dict((self.template.get("metadata") or {}).get("labels") or {})

    @property
    def containers(self) -> list[Object]:
        """Return all containers, those that run first among them."""
        return [*(self.spec.get("initContainers") or ()), *(self.spec.get("containers") or ())]


class Objects:
    """Every object of a render."""

    def __init__(self, documents: tuple[Any, ...]) -> None:
        self.all: list[Object] = [document for document in documents if isinstance(document, dict)]

    @classmethod
    def of_text(cls, text: str) -> Objects:
        return cls(parse(text))

    def of(self, *kinds: str) -> list[Object]:
        return [one for one in self.all if one.get("kind") in kinds]

    def named(self, kind: str, name: str | None) -> Object | None:
        return next((one for one in self.of(kind) if one["metadata"]["name"] == name), None)

    def pods(self) -> Iterator[Pods]:
        """Yield what every workload makes of its template, whatever kind it is."""
        for one in self.all:
            template = _template(one)
            if template is not None:
                yield Pods(title(one), one["kind"], one, template)


def title(one: Object) -> str:
    """Return how findings call an object."""
    return f"{one.get('kind')}/{(one.get('metadata') or {}).get('name')}"


def job_spec(one: Object) -> Object | None:
    """Return the spec of the Job that an object is, or makes."""
    match one["kind"]:
        case "Job":
            return dict(one["spec"])
        case "CronJob":
            return dict(one["spec"]["jobTemplate"]["spec"])
        case "ScaledJob":
            return dict(one["spec"]["jobTargetRef"])
        case _:
            return None


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector picks these labels; an empty one picks all, a missing one none."""
    if selector is None:
        return False
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case unknown:
            raise ValueError(f"{unknown} is no operator of a label selector")


def _template(one: Object) -> Object | None:
    if one.get("kind") == "Pod":
        return one
    if one.get("kind") in {"Deployment", "StatefulSet", "DaemonSet"}:
        return dict(one["spec"]["template"])
    spec = job_spec(one)
    return None if spec is None else dict(spec["template"])

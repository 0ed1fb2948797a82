"""What the semantic checks look at: the objects of one render, and the values that they were made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chart.objects import Object, Objects

REQUIRED = object()
"""Stands for a value that only the cluster knows: a Secret's, or one of the downward API."""


@dataclass(frozen=True)
class Subject:
    """One render. ``values`` are the chart's own with the example's over them."""

    objects: Objects
    values: Mapping[str, Any]
    namespace: str = "fleet"

    def given(self, kind: str) -> set[str]:
        """Return the names of objects of that kind that the values say are there already."""
        values = self.values
        match kind:
            case "Secret":
                return {*(values.get("secrets") or ()), *((values.get("image") or {}).get("pullSecrets") or ())}
            case "ConfigMap":
                return {name for name in [(values.get("contracts") or {}).get("configMap")] if name}
            case "ServiceAccount":
                roles = [role for role in (values.get("identity") or {}).values() if isinstance(role, dict)]
                return {role["serviceAccount"] for role in roles if role.get("create") is False}
            case _:
                return set()

    def environment(self, container: Object) -> dict[str, Any]:
        """Return a container's variables as far as the render tells; what only the cluster knows is `REQUIRED`."""
        made: dict[str, Any] = {}
        for source in container.get("envFrom") or ():
            config = self.objects.named("ConfigMap", (source.get("configMapRef") or {}).get("name"))
            made |= {
                f"{source.get('prefix', '')}{name}": text for name, text in ((config or {}).get("data") or {}).items()
            }
        for variable in container.get("env") or ():
            made[variable["name"]] = self._value(variable)
        return made

    def _value(self, variable: Object) -> Any:  # noqa: ANN401 - text, or REQUIRED
        source = variable.get("valueFrom")
        if source is None:
            return variable.get("value", "")
        key = source.get("configMapKeyRef") or {}
        config = self.objects.named("ConfigMap", key.get("name"))
        return ((config or {}).get("data") or {}).get(key.get("key"), REQUIRED)

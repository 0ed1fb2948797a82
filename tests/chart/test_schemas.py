"""Rung `schemas`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.chart import schemas

if TYPE_CHECKING:
    from tests.chart.rendering import Chart

_SCALED_OBJECT: dict[str, Any] = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "one"},
    "spec": {
        "scaleTargetRef": {"name": "one"},
        "triggers": [{"type": "aws-sqs-queue", "metadata": {"scaleOnInFlight": "true"}}],
    },
}


def test_every_object_has_the_shape_that_its_kubernetes_demands(chart: Chart) -> None:
    assert [] == schemas.rung(chart)


def test_an_unknown_kind_or_field_is_found() -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "one"}}
    assert [] == schemas.faults(account, "1.34.0")
    assert ["no schema for v1 ServiceAcount"] == schemas.faults(account | {"kind": "ServiceAcount"}, "1.34.0")
    assert ["no schema for v2 ServiceAccount"] == schemas.faults(account | {"apiVersion": "v2"}, "1.34.0")
    (found,) = schemas.faults(account | {"role": "x"}, "1.34.0")
    assert "'role' was unexpected" in found


def test_custom_resources_are_compared_with_their_operators_schemas() -> None:
    if not schemas.custom_resources_are_known():
        pytest.skip(
            "NOT CHECKED against KEDA's and the Prometheus operator's schemas: they are not beside the checkout"
        )
    assert [] == schemas.faults(_SCALED_OBJECT, "1.34.0")
    unquoted = {"type": "aws-sqs-queue", "metadata": {"scaleOnInFlight": True}}
    (found,) = schemas.faults(_SCALED_OBJECT | {"spec": _SCALED_OBJECT["spec"] | {"triggers": [unquoted]}}, "1.34.0")
    assert "spec.triggers.0.metadata.scaleOnInFlight: True is not of type 'string'" == found
    strange = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "one"}}
    assert ["no schema for example.org/v1 Widget"] == schemas.faults(strange, "1.34.0")

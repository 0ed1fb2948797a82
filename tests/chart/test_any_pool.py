"""Helm merges defaults and pools by its own rules, doctor by its: they come to the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from tests.chart.objects import Objects
from tests.chart.rendering import KUBERNETES, template
from tests.chart.varied import Varied

from pipeline_processing.deployment.documents import from_chart

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.objects import Object
    from tests.chart.rendering import Chart

    from pipeline_processing.deployment import Scaling

POOLS = 40


@pytest.mark.parametrize("seed", range(3))
def test_pools_of_any_values_are_scaled_as_doctor_took_them_to_be(chart: Chart, tmp_path: Path, seed: int) -> None:
    varied, chance = Varied(chart, tmp_path), random.Random(seed)
    pools = [_any_pool(chance, f"p{number}") for number in range(POOLS)]
    over = {"poolDefaults": _any_pool(chance, "defaults", all_of_it=True), "pools": pools}
    del over["poolDefaults"]["name"], over["poolDefaults"]["lane"]
    values = varied.values(over)
    made = Objects.of_text(template(varied.chart.path, values, KUBERNETES[0], varied.chart.helms[0]))
    scaled = {one["metadata"]["labels"]["pipeline-processing/pool"]: one["spec"] for one in made.of("ScaledObject")}
    graces = {
        pods.labels["pipeline-processing/pool"]: pods.spec["terminationGracePeriodSeconds"]
        for pods in made.pods()
        if pods.kind == "Deployment" and "pipeline-processing/pool" in pods.labels
    }
    assert POOLS == len(scaled)
    for pool in from_chart([values]).pools:
        assert pool.termination_grace_period_seconds == graces[pool.name]
        assert _as_keda_says_it(pool.scaling) == _told(scaled[pool.name])


def _any_pool(chance: random.Random, name: str, *, all_of_it: bool = False) -> dict[str, Any]:
    """Return a pool that says some of what it may, nothings among it."""

    def some(**parts: object) -> dict[str, Any]:
        return {key: part for key, part in parts.items() if all_of_it or chance.random() < 0.5}

    return {
        "name": name,
        "lane": "live",
        **some(
            terminationGracePeriodSeconds=chance.randint(100, 10**7),
            scaling=some(
                min=chance.choice([0, 1, 3]),
                max=chance.randint(3, 2 * 10**6),
                queueLength=chance.randint(1, 10**7),
                activationQueueLength=chance.choice([0, 2]),
                scaleOnInFlight=chance.choice([True, False]),
                pollingInterval=chance.randint(1, 90),
                cooldownPeriod=chance.choice([0, 600]),
                fallback=some(failureThreshold=chance.randint(1, 9), replicas=chance.choice([0, 1, 3])),
                scaleUp=some(
                    percent=chance.randint(1, 900),
                    pods=chance.randint(1, 9),
                    periodSeconds=chance.randint(1, 1800),
                    stabilizationWindowSeconds=chance.choice([0, 3600]),
                ),
                scaleDown=some(
                    percent=chance.randint(1, 100),
                    periodSeconds=chance.randint(1, 1800),
                    stabilizationWindowSeconds=chance.choice([0, 3600]),
                ),
            ),
        ),
    }


def _as_keda_says_it(scaling: Scaling) -> dict[str, object]:
    up, down = scaling.scale_up, scaling.scale_down
    return {
        "pods": (scaling.min, scaling.max, scaling.polling_interval, scaling.cooldown_period),
        "fallback": (scaling.fallback.failure_threshold, scaling.fallback.replicas),
        "up": (up.stabilization_window_seconds, up.percent, up.period_seconds, up.pods, up.period_seconds),
        "down": (down.stabilization_window_seconds, down.percent, down.period_seconds),
        "trigger": (
            str(scaling.queue_length),
            str(scaling.activation_queue_length),
            str(scaling.scale_on_in_flight).lower(),
        ),
    }


def _told(spec: Object) -> dict[str, object]:
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down = behavior["scaleUp"], behavior["scaleDown"]
    trigger = spec["triggers"][0]["metadata"]
    return {
        "pods": tuple(
            spec[name] for name in ("minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod")
        ),
        "fallback": (spec["fallback"]["failureThreshold"], spec["fallback"]["replicas"]),
        "up": (up["stabilizationWindowSeconds"], *_policies(up)),
        "down": (down["stabilizationWindowSeconds"], *_policies(down)),
        "trigger": tuple(trigger[name] for name in ("queueLength", "activationQueueLength", "scaleOnInFlight")),
    }


def _policies(rules: Object) -> list[int]:
    return [policy[part] for policy in rules["policies"] for part in ("value", "periodSeconds")]

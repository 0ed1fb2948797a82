"""What objects say of each other: names that must be there, selectors, and what is there before a hook runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.chart.objects import matches, title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.objects import Object, Pods
    from tests.chart.semantics.subject import Subject

_HOOK = "helm.sh/hook"
_WEIGHT = "helm.sh/hook-weight"
_POLICY = "helm.sh/hook-delete-policy"
_OPEN = "nobody"
_VOLATILE = {"app.kubernetes.io/version", "helm.sh/chart", "app.kubernetes.io/managed-by"}
"""A Deployment's selector can not be changed; these labels change with the chart's version."""


def _wanted(pods: Pods) -> Iterator[tuple[str, str, str | None, bool]]:
    """Yield kind, name, key and whether it may be missing of all that a pod needs beside itself."""
    if account := pods.spec.get("serviceAccountName"):
        yield "ServiceAccount", account, None, False
    for secret in pods.spec.get("imagePullSecrets") or ():
        yield "Secret", secret["name"], None, False
    for container in pods.containers:
        for source in container.get("envFrom") or ():
            yield from _of(source, "configMapRef", "secretRef")
        for variable in container.get("env") or ():
            yield from _of(variable.get("valueFrom") or {}, "configMapKeyRef", "secretKeyRef")
    for volume in pods.spec.get("volumes") or ():
        for part in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield from _of(part, "configMap", "secret")


def _of(source: Object, config: str, secret: str) -> Iterator[tuple[str, str, str | None, bool]]:
    for kind, field in (("ConfigMap", config), ("Secret", secret)):
        if (said := source.get(field)) is not None:
            is_optional = bool(said.get("optional"))
            name = said.get("name") or said.get("secretName") or _OPEN
            yield kind, name, said.get("key"), is_optional
            for item in said.get("items") or ():
                yield kind, name, item["key"], is_optional


def what_pods_need_is_there(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        if not pods.spec.get("serviceAccountName"):
            yield f"{pods.owner}: runs as the namespace's default ServiceAccount"
        for kind, name, key, may_be_missing in _wanted(pods):
            found = subject.objects.named(kind, name)
            if found is None and name not in subject.given(kind) and not may_be_missing:
                yield f"{pods.owner}: needs {kind}/{name}, which neither the chart makes nor the values name"
            held = set((found or {}).get("data") or {}) | set((found or {}).get("binaryData") or {})
            if found is not None and key is not None and key not in held:
                yield f"{pods.owner}: needs the key {key} of {kind}/{name}, which has {', '.join(sorted(held))}"


def what_the_values_name_is_used(subject: Subject) -> Iterator[str]:
    """A Secret that the values list and no pod reads sets nothing, in silence."""
    used = {(kind, name) for pods in subject.objects.pods() for kind, name, _, _ in _wanted(pods)}
    for kind in ("Secret", "ConfigMap"):
        yield from (
            f"no pod uses {kind}/{name} of the values" for name in subject.given(kind) if (kind, name) not in used
        )


def what_the_chart_makes_is_used(subject: Subject) -> Iterator[str]:
    """A ConfigMap that nothing reads is a leftover, or whoever should read it is misspelt."""
    used = {(kind, name) for pods in subject.objects.pods() for kind, name, _, _ in _wanted(pods)}
    for one in subject.objects.of("ConfigMap", "Secret"):
        is_read_by_others = "grafana_dashboard" in str(one["metadata"].get("labels")) or any(
            name.endswith(".json") for name in one.get("data") or ()
        )
        if (one["kind"], one["metadata"]["name"]) not in used and not is_read_by_others:
            yield f"{title(one)}: nobody reads it"


def what_hooks_need_is_there_before_them(subject: Subject) -> Iterator[str]:
    """Helm makes the chart's other objects after pre-install hooks; hooks run by weight, then kind, then name."""
    for pods in subject.objects.pods():
        events = _events(pods.object)
        if not any(event.startswith("pre-") for event in events):
            continue
        for kind, name, _, may_be_missing in _wanted(pods):
            found = subject.objects.named(kind, name)
            if found is None or may_be_missing:
                continue
            if not events <= _events(found):
                yield f"{pods.owner}: runs before {kind}/{name} is made"
            elif _weight(found) >= _weight(pods.object):
                yield f"{pods.owner}: {kind}/{name} has no lower weight, so it may be made later"


def what_stays_hangs_on_no_hook_that_goes(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        if _events(pods.object):
            continue
        for kind, name, _, _ in _wanted(pods):
            found = subject.objects.named(kind, name)
            if found is not None and _events(found) and _goes(found):
                yield f"{pods.owner}: needs {kind}/{name}, a hook's object that Helm deletes after it"


def workloads_select_their_own_pods_alone(subject: Subject) -> Iterator[str]:
    everything = list(subject.objects.pods())
    for one in subject.objects.of("Deployment", "StatefulSet", "DaemonSet"):
        selector = one["spec"].get("selector")
        if volatile := _VOLATILE & set((selector or {}).get("matchLabels") or {}):
            yield f"{title(one)}: selects by {', '.join(sorted(volatile))}, which changes and may not"
        for pods in everything:
            is_its_own, is_selected = pods.owner == title(one), matches(selector, pods.labels)
            if is_its_own and not is_selected:
                yield f"{title(one)}: does not select its own pods"
            if is_selected and not is_its_own:
                yield f"{title(one)}: selects the pods of {pods.owner}"


def spreads_select_their_own_pods(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        for spread in pods.spec.get("topologySpreadConstraints") or ():
            if not matches(spread.get("labelSelector"), pods.labels):
                yield f"{pods.owner}: spreads pods that are not its own"
        for term in _anti_affinities(pods.spec):
            if not matches(term.get("labelSelector"), pods.labels):
                yield f"{pods.owner}: keeps apart from pods that are not its own"


def budgets_and_policies_select_something(subject: Subject) -> Iterator[str]:
    everything = list(subject.objects.pods())
    selected: dict[str, list[str]] = {}
    for one in subject.objects.of("PodDisruptionBudget"):
        picked = [pods for pods in everything if matches(one["spec"].get("selector"), pods.labels)]
        if not picked:
            yield f"{title(one)}: selects no pods"
        for pods in picked:
            selected.setdefault(pods.owner, []).append(title(one))
            if pods.kind not in {"Deployment", "StatefulSet"}:
                yield f"{title(one)}: selects pods of {pods.owner}, which nothing but evictions ever ends early"
        if "maxUnavailable" not in one["spec"]:
            yield f"{title(one)}: says no maxUnavailable; minAvailable stops every drain of a pool of one"
    yield from (
        f"{owner}: {', '.join(those)} select it: evictions fail" for owner, those in selected.items() if len(those) > 1
    )
    for one in subject.objects.of("NetworkPolicy"):
        if not any(matches(one["spec"].get("podSelector"), pods.labels) for pods in everything):
            yield f"{title(one)}: selects no pods"


def network_policies_open_ports_that_are_there(subject: Subject) -> Iterator[str]:
    for one in subject.objects.of("NetworkPolicy"):
        spec = one["spec"]
        if "egress" in spec and "Egress" not in (spec.get("policyTypes") or ()):
            yield f"{title(one)}: has egress rules that do not count: policyTypes says no Egress"
        opened = {
            key
            for pods in subject.objects.pods()
            if matches(spec.get("podSelector"), pods.labels)
            for container in pods.containers
            for port in container.get("ports") or ()
            for key in (port.get("name"), port["containerPort"])
        }
        asked = {port.get("port") for rule in spec.get("ingress") or () for port in rule.get("ports") or ()}
        yield from (f"{title(one)}: lets in to the port {port}, which no pod of its opens" for port in asked - opened)
        if "Egress" in (spec.get("policyTypes") or ()) and not _lets_names_be_asked(spec):
            yield f"{title(one)}: no egress to port 53, UDP and TCP: no name can be looked up"


def monitors_scrape_a_port_that_is_there(subject: Subject) -> Iterator[str]:
    for one in subject.objects.of("PodMonitor"):
        picked = [pods for pods in subject.objects.pods() if matches(one["spec"].get("selector"), pods.labels)]
        if not picked:
            yield f"{title(one)}: selects no pods"
        for endpoint in one["spec"].get("podMetricsEndpoints") or ():
            for pods in picked:
                names = {port.get("name") for container in pods.containers for port in container.get("ports") or ()}
                if endpoint.get("port") not in names:
                    yield f"{title(one)}: scrapes the port {endpoint.get('port')}, which {pods.owner} does not have"
            if endpoint.get("path", "/metrics") != "/metrics":
                yield f"{title(one)}: scrapes {endpoint['path']}, which the product does not serve"


def _anti_affinities(spec: Object) -> Iterator[Object]:
    anti = (spec.get("affinity") or {}).get("podAntiAffinity") or {}
    yield from anti.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for weighted in anti.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield weighted["podAffinityTerm"]


def _lets_names_be_asked(spec: Object) -> bool:
    opened: set[tuple[str, Any]] = set()
    for rule in spec.get("egress") or ():
        if not rule.get("ports"):
            return True
        opened |= {(port.get("protocol", "TCP"), port.get("port")) for port in rule["ports"]}
    return {("UDP", 53), ("TCP", 53)} <= opened


def _events(one: Object) -> set[str]:
    said = (one["metadata"].get("annotations") or {}).get(_HOOK, "")
    return {event.strip() for event in said.split(",") if event.strip()}


def _weight(one: Object) -> int:
    return int((one["metadata"].get("annotations") or {}).get(_WEIGHT, "0"))


def _goes(one: Object) -> bool:
    said = (one["metadata"].get("annotations") or {}).get(_POLICY, "")
    return "hook-succeeded" in said or "hook-failed" in said


CHECKS = (
    what_pods_need_is_there,
    what_the_values_name_is_used,
    what_the_chart_makes_is_used,
    what_hooks_need_is_there_before_them,
    what_stays_hangs_on_no_hook_that_goes,
    workloads_select_their_own_pods_alone,
    spreads_select_their_own_pods,
    budgets_and_policies_select_something,
    network_policies_open_ports_that_are_there,
    monitors_scrape_a_port_that_is_there,
)

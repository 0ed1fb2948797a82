"""Pods: the restricted standard of Pod Security, images, ports, probes, volumes, resources, time to stop."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.chart.semantics.quantities import amount

from etl_core.settings import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.objects import Object, Pods
    from tests.chart.semantics.subject import Subject

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_UNPRIVILEGED_PORT = 1024
_HOSTS = ("hostNetwork", "hostPID", "hostIPC")
_TAGGED = re.compile(r".+(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_USER = 10001


def pods_are_restricted(subject: Subject) -> Iterator[str]:
    """Read as in https://kubernetes.io/docs/concepts/security/pod-security-standards/, profile restricted."""
    for pods in subject.objects.pods():
        shared = pods.spec.get("securityContext") or {}
        yield from (f"{pods.owner}: {host} is set" for host in _HOSTS if pods.spec.get(host))
        for volume in pods.spec.get("volumes") or ():
            if strange := set(volume) - {"name"} - _VOLUMES:
                yield f"{pods.owner}: the volume {volume['name']} is a {', '.join(strange)}"
        if shared.get("runAsUser") == 0 or shared.get("sysctls"):
            yield f"{pods.owner}: runs as root, or sets sysctls"
        for container in pods.containers:
            for fault in _unrestricted(shared, container.get("securityContext") or {}):
                yield f"{pods.owner}, {container['name']}: {fault}"
            for port in container.get("ports") or ():
                if port.get("hostPort"):
                    yield f"{pods.owner}, {container['name']}: takes the port {port['hostPort']} of its host"


def _unrestricted(shared: Object, own: Object) -> Iterator[str]:
    effective = shared | own
    if effective.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if own.get("runAsUser") == 0:
        yield "runs as root"
    if own.get("privileged"):
        yield "is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "does not drop ALL capabilities"
    if added := set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f"adds the capabilities {', '.join(sorted(added))}"
    if (effective.get("seccompProfile") or {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "has no seccompProfile RuntimeDefault"
    if own.get("procMount", "Default") != "Default":
        yield "unmasks /proc"


def containers_can_not_write_but_where_they_may(subject: Subject) -> Iterator[str]:
    """Our own rule over the standard: the image's user, a root that is read-only, a bounded /tmp."""
    for pods in subject.objects.pods():
        shared = pods.spec.get("securityContext") or {}
        volumes = {volume["name"]: volume for volume in pods.spec.get("volumes") or ()}
        for container in pods.containers:
            where = f"{pods.owner}, {container['name']}"
            effective = shared | (container.get("securityContext") or {})
            if effective.get("readOnlyRootFilesystem") is not True:
                yield f"{where}: its root can be written to"
            if (effective.get("runAsUser"), effective.get("runAsGroup")) != (_USER, _USER):
                yield f"{where}: does not run as {_USER}:{_USER}, whom the image is made for"
            mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts") or ()}
            scratch = volumes.get((mounts.get("/tmp") or {}).get("name", ""), {})  # noqa: S108 - a path in the pod
            if not (scratch.get("emptyDir") or {}).get("sizeLimit"):
                yield f"{where}: has no bounded emptyDir at its temporary folder"


def images_are_pinned(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        for container in pods.containers:
            image = str(container.get("image", ""))
            if not _TAGGED.fullmatch(image.rpartition("/")[2]) or image.endswith(":latest"):
                yield f"{pods.owner}, {container['name']}: {image!r} is another image every day"


def probes_ask_a_port_that_is_open(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        for container in pods.containers:
            where = f"{pods.owner}, {container['name']}"
            ports = container.get("ports") or ()
            open_here = {port.get("name") for port in ports} | {port["containerPort"] for port in ports}
            for kind in _PROBES:
                if kind in container:
                    yield from (f"{where}: {kind} {fault}" for fault in _probe(container[kind], open_here))
        main = pods.spec["containers"][0]
        if pods.kind == "Deployment" and not {"livenessProbe", "readinessProbe"} <= set(main):
            yield f"{pods.owner}: runs for ever with nobody asking whether it lives"


def _probe(probe: Object, open_here: set[Any]) -> Iterator[str]:
    asked = probe.get("httpGet") or probe.get("tcpSocket")
    if asked is None:
        if "exec" not in probe:
            yield "asks nothing"
        return
    if asked.get("port") not in open_here:
        yield f"asks the port {asked.get('port')!r}, which the container does not open"
    path = asked.get("path", "/healthz")
    if path not in {"/healthz", "/readyz"}:
        yield f"asks for {path}, which the product does not serve"


def ports_are_used(subject: Subject) -> Iterator[str]:
    """A port that no probe, monitor, Service or rule names is a leftover, or its name is misspelt."""
    named = {
        endpoint.get("port")
        for monitor in subject.objects.of("PodMonitor")
        for endpoint in monitor["spec"].get("podMetricsEndpoints") or ()
    } | {port.get("targetPort") for service in subject.objects.of("Service") for port in service["spec"]["ports"]}
    for pods in subject.objects.pods():
        for container in pods.containers:
            asked = {
                (container[kind].get("httpGet") or container[kind].get("tcpSocket") or {}).get("port")
                for kind in _PROBES
                if kind in container
            }
            for port in container.get("ports") or ():
                if not {port.get("name"), port["containerPort"]} & (named | asked):
                    yield f"{pods.owner}, {container['name']}: nobody uses the port {port.get('name')}"


def volumes_are_mounted_and_mounts_have_volumes(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        volumes = [volume["name"] for volume in pods.spec.get("volumes") or ()]
        mounts = [(container, mount) for container in pods.containers for mount in container.get("volumeMounts") or ()]
        yield from (
            f"{pods.owner}, {container['name']}: mounts {mount['name']}, which is no volume of the pod"
            for container, mount in mounts
            if mount["name"] not in volumes
        )
        mounted = {mount["name"] for _, mount in mounts}
        yield from (f"{pods.owner}: nobody mounts the volume {name}" for name in volumes if name not in mounted)
        yield from (f"{pods.owner}: two volumes are called {name}" for name in set(volumes) if volumes.count(name) > 1)
        for container in pods.containers:
            paths = [mount["mountPath"] for mount in container.get("volumeMounts") or ()]
            yield from (f"{pods.owner}: two mounts at {path}" for path in set(paths) if paths.count(path) > 1)


def resources_are_asked_for(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        for container in pods.containers:
            where = f"{pods.owner}, {container['name']}"
            resources = container.get("resources") or {}
            requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
            for missing in {"cpu", "memory"} - set(requests):
                yield f"{where}: asks for no {missing}"
            if "memory" not in limits:
                yield f"{where}: has no limit of memory"
            for name in requests.keys() & limits.keys():
                if amount(requests[name]) > amount(limits[name]):
                    yield f"{where}: asks for more {name} ({requests[name]}) than it may have ({limits[name]})"


def a_pod_has_time_to_stop(subject: Subject) -> Iterator[str]:
    """What is counted from SIGTERM: preStop first, then the drain; the platform kills at the end of the grace."""
    for pods in subject.objects.pods():
        grace = pods.spec.get("terminationGracePeriodSeconds")
        if grace is None:
            yield f"{pods.owner}: says no terminationGracePeriodSeconds; 30 would count"
            continue
        for container in pods.containers:
            yield from (
                f"{pods.owner}, {container['name']}: {fault}" for fault in _late(subject, pods, container, grace)
            )


def _late(subject: Subject, pods: Pods, container: Object, grace: int) -> Iterator[str]:
    sleeps = ((container.get("lifecycle") or {}).get("preStop") or {}).get("sleep") or {}
    left = grace - sleeps.get("seconds", 0)
    if left <= 0:
        yield f"preStop sleeps {sleeps['seconds']} s of a grace of {grace} s"
    if (container.get("args") or [""])[0] != "worker":
        return  # nobody else drains
    environment = subject.environment(container)
    for name in ("PIPELINE_DRAIN", "PIPELINE_GRACE"):
        said = environment.get(name)
        if isinstance(said, str) and said:
            seconds = parse_duration(said).total_seconds()  # type: ignore[attr-defined]  # text gives a timedelta
            if seconds > left or (name == "PIPELINE_DRAIN" and seconds == left):
                yield f"{name} is {said}, where SIGKILL comes {left} s after SIGTERM"


def deployments_are_scaled_by_one(subject: Subject) -> Iterator[str]:
    """A Deployment that says `replicas` beside its ScaledObject is set back by every `helm upgrade`."""
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in subject.objects.of("ScaledObject", "HorizontalPodAutoscaler")
        if "name" in (one["spec"].get("scaleTargetRef") or {})
    }
    for one in subject.objects.of("Deployment"):
        name, says = one["metadata"]["name"], "replicas" in one["spec"]
        if name in scaled and says:
            yield f"Deployment/{name}: says replicas, and a ScaledObject does, too"
        if name not in scaled and not says:
            yield f"Deployment/{name}: nobody says how many pods it has"


CHECKS = (
    pods_are_restricted,
    containers_can_not_write_but_where_they_may,
    images_are_pinned,
    probes_ask_a_port_that_is_open,
    ports_are_used,
    volumes_are_mounted_and_mounts_have_volumes,
    resources_are_asked_for,
    a_pod_has_time_to_stop,
    deployments_are_scaled_by_one,
)

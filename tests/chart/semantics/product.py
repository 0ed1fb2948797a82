"""What the product itself reads of a pod: its variables, its arguments, the deployment that a worker proves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml
from tests.chart import documents

from etl_core.errors import ConfigError
from etl_core.settings import unknown
from pipeline_processing import safety
from pipeline_processing.deployment import parse, settings_from
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.objects import Object, Pods
    from tests.chart.semantics.subject import Subject

_REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$\(([^)]*)\)")


def variables_are_settings(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        for container in pods.containers:
            environment = subject.environment(container)
            where = f"{pods.owner}, {container['name']}"
            for name, meant in unknown(Settings, environment).items():
                yield f"{where}: {name} is no setting{f'; {meant} is' if meant else ''}"
            for variable, value in environment.items():
                if isinstance(value, str) and value != value.strip():
                    yield f"{where}: {variable} has blanks around its value"
            known = {name: value for name, value in environment.items() if isinstance(value, str)}
            try:
                settings_from(
                    {name: value for name, value in known.items() if not unknown(Settings, [name])}, where=where
                )
            except ConfigError as error:
                yield str(error)


def pods_know_where_runs_are_recorded(subject: Subject) -> Iterator[str]:
    """No command but the migration's does anything without the control bucket."""
    for pods in subject.objects.pods():
        for container in pods.containers:
            needs_it = (container.get("args") or [""])[0] != "migrate"
            if needs_it and not subject.environment(container).get("PIPELINE_CONTROL_BUCKET"):
                yield f"{pods.owner}, {container['name']}: has no PIPELINE_CONTROL_BUCKET"


def arguments_name_variables_that_are_there(subject: Subject) -> Iterator[str]:
    """The kubelet leaves `$(NAME)` as it stands where there is no such variable."""
    for pods in subject.objects.pods():
        for container in pods.containers:
            environment = subject.environment(container)
            for argument in (*(container.get("command") or ()), *(container.get("args") or ())):
                for name in _REFERENCE.findall(str(argument)):
                    if name not in environment:
                        yield f"{pods.owner}, {container['name']}: {argument!r} names a variable that is not there"


def the_deployment_is_proven_safe(subject: Subject) -> Iterator[str]:
    """The mounted file is what `doctor` and every worker prove; a pod's variables are what it says."""
    for pods in subject.objects.pods():
        for container in pods.containers:
            environment = subject.environment(container)
            path = environment.get("PIPELINE_DEPLOYMENT")
            if path:
                where = f"{pods.owner}, {container['name']}"
                yield from (f"{where}: {fault}" for fault in _unproven(subject, pods, container, str(path)))


def _unproven(subject: Subject, pods: Pods, container: Object, path: str) -> Iterator[str]:
    text = _mounted(subject, pods, container, path)
    if text is None:
        yield f"PIPELINE_DEPLOYMENT is {path}, where no ConfigMap is mounted"
        return
    try:
        (document,) = documents.parse(text)
        deployment = parse(document)
    except (yaml.YAMLError, ConfigError, ValueError) as error:
        yield f"{path}: {error}"
        return
    yield from (f"{path}: {found}" for found in safety.prove(deployment) if found.severity == "unsafe")
    environment = subject.environment(container)
    name = environment.get("PIPELINE_POOL")
    pool = next((one for one in deployment.pools if one.name == name), None)
    if name and pool is None:
        yield f"PIPELINE_POOL is {name}, and {path} has {', '.join(one.name for one in deployment.pools)}"
    if pool is not None:
        grace = pods.spec.get("terminationGracePeriodSeconds")
        if grace != pool.termination_grace_period_seconds:
            yield f"has a grace of {grace} s, where {path} says {pool.termination_grace_period_seconds}"


def _mounted(subject: Subject, pods: Pods, container: Object, path: str) -> str | None:
    """Return what a path in the container holds, where a ConfigMap is mounted there."""
    for mount in container.get("volumeMounts") or ():
        folder, _, name = path.rpartition("/")
        if mount["mountPath"] != (path if mount.get("subPath") else folder):
            continue
        volume = next(one for one in pods.spec["volumes"] if one["name"] == mount["name"])
        config = subject.objects.named("ConfigMap", (volume.get("configMap") or {}).get("name"))
        key = mount.get("subPath") or name
        return ((config or {}).get("data") or {}).get(key)
    return None


CHECKS = (
    variables_are_settings,
    pods_know_where_runs_are_recorded,
    arguments_name_variables_that_are_there,
    the_deployment_is_proven_safe,
)

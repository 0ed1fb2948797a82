"""Names, labels and words of which Kubernetes knows only some: what schemas take for any text."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.chart.objects import job_spec, title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.semantics.subject import Subject

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_PORT = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")

_LONGEST = {"CronJob": 52, "ScaledObject": 54, "ScaledJob": 54, "Job": 63, "Deployment": 63, "Service": 63}
"""A CronJob appends 11 characters, KEDA's HPA begins with `keda-hpa-`; the others end up in a label."""
_LONGEST_OTHER = 253

_WORDS: dict[tuple[str, ...], frozenset[str]] = {
    ("concurrencyPolicy",): frozenset({"Allow", "Forbid", "Replace"}),
    ("restartPolicy",): frozenset({"Always", "OnFailure", "Never"}),
    ("imagePullPolicy",): frozenset({"Always", "IfNotPresent", "Never"}),
    ("dnsPolicy",): frozenset({"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"}),
    ("terminationMessagePolicy",): frozenset({"File", "FallbackToLogsOnError"}),
    ("whenUnsatisfiable",): frozenset({"DoNotSchedule", "ScheduleAnyway"}),
    ("nodeAffinityPolicy",): frozenset({"Honor", "Ignore"}),
    ("nodeTaintsPolicy",): frozenset({"Honor", "Ignore"}),
    ("podReplacementPolicy",): frozenset({"Failed", "TerminatingOrFailed"}),
    ("completionMode",): frozenset({"Indexed", "NonIndexed"}),
    ("unhealthyPodEvictionPolicy",): frozenset({"AlwaysAllow", "IfHealthyBudget"}),
    ("protocol",): frozenset({"TCP", "UDP", "SCTP"}),
    ("policyTypes", "#"): frozenset({"Ingress", "Egress"}),
    ("seccompProfile", "type"): frozenset({"RuntimeDefault", "Localhost", "Unconfined"}),
    ("strategy", "type"): frozenset({"RollingUpdate", "Recreate"}),
    ("emptyDir", "medium"): frozenset({"", "Memory"}),
    ("tolerations", "#", "operator"): frozenset({"Exists", "Equal"}),
    ("tolerations", "#", "effect"): frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"}),
    ("onExitCodes", "operator"): frozenset({"In", "NotIn"}),
    ("rules", "#", "action"): frozenset({"FailJob", "FailIndex", "Ignore", "Count"}),
    ("onPodConditions", "#", "status"): frozenset({"True", "False", "Unknown"}),
    ("nodeSelectorTerms", "#", "matchExpressions", "#", "operator"): frozenset(
        {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}
    ),
    ("matchExpressions", "#", "operator"): frozenset({"In", "NotIn", "Exists", "DoesNotExist"}),
    ("policies", "#", "type"): frozenset({"Pods", "Percent"}),
    ("selectPolicy",): frozenset({"Max", "Min", "Disabled"}),
    ("metricType",): frozenset({"AverageValue", "Value", "Utilization"}),
    ("httpGet", "scheme"): frozenset({"HTTP", "HTTPS"}),
}
"""By the end of a field's path; `#` is any place of a list. The first that fits counts."""


def words_are_known(subject: Subject) -> Iterator[str]:
    for one in subject.objects.all:
        for path, value in _leaves(one):
            known = next((words for end, words in _WORDS.items() if _ends(path, end)), None)
            if known is not None and value not in known:
                yield f"{title(one)}: {'.'.join(path)} is {value!r}; it may be {', '.join(sorted(known))}"


def names_fit(subject: Subject) -> Iterator[str]:
    for one in subject.objects.all:
        name = str(one["metadata"]["name"])
        longest = _LONGEST.get(one["kind"], _LONGEST_OTHER)
        if len(name) > longest:
            yield f"{title(one)}: {len(name)} characters, where a {one['kind']} may have {longest}"
        form = _LABEL if one["kind"] in _LONGEST else _SUBDOMAIN
        if not form.fullmatch(name):
            yield f"{title(one)}: this is no DNS name"
        if one["metadata"].get("namespace", subject.namespace) != subject.namespace:
            yield f"{title(one)}: is put into the namespace {one['metadata']['namespace']}, not the release's"


def names_are_given_once(subject: Subject) -> Iterator[str]:
    given = Counter(title(one) for one in subject.objects.all)
    yield from (f"{name} is there {count} times" for name, count in given.items() if count > 1)


def labels_fit(subject: Subject) -> Iterator[str]:
    for one in subject.objects.all:
        for path, labels in _maps(one, "labels", "matchLabels", "nodeSelector"):
            for key, value in labels.items():
                if not _QUALIFIED.fullmatch(str(key)):
                    yield f"{title(one)}: {path} has the key {key!r}, which no label may have"
                if not (isinstance(value, str) and _LABEL_VALUE.fullmatch(value)):
                    yield f"{title(one)}: {path}.{key} is {value!r}, which no label may hold"
        for path, notes in _maps(one, "annotations"):
            for key, value in notes.items():
                if not (_QUALIFIED.fullmatch(str(key)) and isinstance(value, str)):
                    yield f"{title(one)}: {path} can not have {key!r}: {value!r}"


def containers_and_their_parts_are_named(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        yield from _twice(pods.owner, "containers", [container["name"] for container in pods.containers])
        ports = [port for container in pods.containers for port in container.get("ports") or ()]
        yield from _twice(pods.owner, "ports", [port.get("name") for port in ports])
        for port in ports:
            name = str(port.get("name") or "")
            if not (_PORT.fullmatch(name) and len(name) <= 15):
                yield f"{pods.owner}: the port {port.get('containerPort')} is called {name!r}, which names no port"
        for container in pods.containers:
            if not _LABEL.fullmatch(container["name"]) or len(container["name"]) > 63:
                yield f"{pods.owner}: {container['name']!r} names no container"
            variables = [str(variable["name"]) for variable in container.get("env") or ()]
            yield from _twice(f"{pods.owner}, {container['name']}", "variables", variables)
            yield from (
                f"{pods.owner}: {name!r} names no variable" for name in variables if not _VARIABLE.fullmatch(name)
            )


def pods_end_as_their_owner_wants(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        policy = pods.spec.get("restartPolicy", "Always")
        fitting = {"Never", "OnFailure"} if job_spec(pods.object) else {"Always"}
        if policy not in fitting:
            yield f"{pods.owner}: restartPolicy {policy}; a {pods.kind} takes {' or '.join(sorted(fitting))}"


def _twice(where: str, what: str, names: list[Any]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{where}: {count} {what} are called {name}"


def _ends(path: tuple[str, ...], end: tuple[str, ...]) -> bool:
    return len(path) >= len(end) and path[-len(end) :] == end


def _leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in {"annotations", "data", "labels", "matchLabels"}:
                yield from _leaves(part, (*path, str(name)))
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, (*path, "#"))
    else:
        yield path, value


def _maps(value: object, *wanted: str, path: str = "") -> Iterator[tuple[str, dict[Any, Any]]]:
    if isinstance(value, dict):
        for name, part in value.items():
            inner = f"{path}.{name}".lstrip(".")
            if name in wanted and isinstance(part, dict):
                yield inner, part
            elif name != "data":
                yield from _maps(part, *wanted, path=inner)
    elif isinstance(value, list):
        for part in value:
            yield from _maps(part, *wanted, path=path)


CHECKS = (
    words_are_known,
    names_fit,
    names_are_given_once,
    labels_fit,
    containers_and_their_parts_are_named,
    pods_end_as_their_owner_wants,
)

"""What KEDA's webhooks and scalers refuse, and what of theirs would lose or bury items here.

Read in its source, v2.20: apis/keda/v1alpha1/*_webhook.go, scaledobject_types.go, pkg/scalers/aws_sqs_queue_scaler.go.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.chart.objects import title
from tests.chart.semantics.subject import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.objects import Object
    from tests.chart.semantics.subject import Subject

_SQS = "aws-sqs-queue"
_FIELDS = {
    _SQS: {
        "activationQueueLength",
        "awsEndpoint",
        "awsRegion",
        "queueLength",
        "queueURL",
        "queueURLFromEnv",
        "scaleOnDelayed",
        "scaleOnInFlight",
    },
    "prometheus": {
        "activationThreshold",
        "authModes",
        "customHeaders",
        "ignoreNullValues",
        "namespace",
        "query",
        "queryParameters",
        "serverAddress",
        "threshold",
        "timeout",
        "unsafeSsl",
    },
}
"""The scalers that the chart may use. `identityOwner` is none: deprecated in favour of TriggerAuthentication."""
_NEEDED = {_SQS: {"awsRegion", "queueLength", "scaleOnInFlight"}, "prometheus": {"query", "serverAddress", "threshold"}}
_UNCACHED = {"cpu", "memory", "cron"}
_MOST = 100
"""KEDA's maxReplicaCount where none is said."""
_ROLE = "eks.amazonaws.com/role-arn"
_DEPRECATED = {"aws-eks", "aws-kiam"}


def one_scaler_owns_a_target(subject: Subject) -> Iterator[str]:
    targets = Counter(
        (ref.get("kind", "Deployment"), ref["name"])
        for one in subject.objects.of("ScaledObject", "HorizontalPodAutoscaler")
        if "name" in (ref := one["spec"].get("scaleTargetRef") or {})
    )
    yield from (f"{kind}/{name} has {count} autoscalers" for (kind, name), count in targets.items() if count > 1)
    for one in subject.objects.of("ScaledObject"):
        reference = one["spec"].get("scaleTargetRef") or {}
        found = subject.objects.named(reference.get("kind", "Deployment"), reference.get("name"))
        if found is None:
            yield f"{title(one)}: scales {reference.get('name')}, which is not there"
            continue
        names = [container["name"] for container in found["spec"]["template"]["spec"]["containers"]]
        if reference.get("envSourceContainerName", names[0]) not in names:
            yield f"{title(one)}: reads variables of {reference['envSourceContainerName']}, which is no container of it"


def bounds_are_in_order(subject: Subject) -> Iterator[str]:
    for one in subject.objects.of("ScaledObject", "ScaledJob"):
        spec, where = one["spec"], title(one)
        least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", _MOST)
        if not 0 <= least <= most or most < 1:
            yield f"{where}: at least {least} and at most {most} pods"
        if "idleReplicaCount" in spec and not (spec["idleReplicaCount"] == 0 < least):
            yield f"{where}: idleReplicaCount may only be 0, and below minReplicaCount"
        if spec.get("pollingInterval", 30) < 1 or spec.get("cooldownPeriod", 300) < 0:
            yield f"{where}: pollingInterval or cooldownPeriod is no time"
        if one["kind"] == "ScaledObject":
            yield from (f"{where}: {fault}" for fault in _fallback(spec, least, most))


def _fallback(spec: Object, least: int, most: int) -> Iterator[str]:
    """Fallback asks for a trigger whose target is an average; more than `max` would be cut, less than `min` raised."""
    fallback = spec.get("fallback")
    if fallback is None:
        return
    if fallback.get("failureThreshold", 0) < 1 or not least <= fallback.get("replicas", -1) <= most:
        yield f"fallback {fallback} is outside {least} to {most} pods, or holds from the start"
    if not any(
        trigger.get("type") not in {"cpu", "memory"} and trigger.get("metricType", "AverageValue") == "AverageValue"
        for trigger in spec.get("triggers") or ()
    ):
        yield "has a fallback and no trigger of the type AverageValue"


def behaviour_is_one_the_hpa_takes(subject: Subject) -> Iterator[str]:
    for one in subject.objects.of("ScaledObject"):
        config = (one["spec"].get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}
        if len(str(config.get("name") or f"keda-hpa-{one['metadata']['name']}")) > 63:
            yield f"{title(one)}: its HPA's name is longer than 63 characters"
        for way, said in (config.get("behavior") or {}).items():
            if not 0 <= said.get("stabilizationWindowSeconds", 0) <= 3600:
                yield f"{title(one)}: {way} looks back {said['stabilizationWindowSeconds']} s; an hour is the most"
            for policy in said.get("policies") or ():
                if not (0 < policy.get("periodSeconds", 0) <= 1800 and policy.get("value", 0) > 0):
                    yield f"{title(one)}: {way} has the policy {policy}, which the HPA refuses"
        if not (config.get("behavior") or {}).get("scaleDown"):
            yield f"{title(one)}: says nothing of scaling down: all pods may go in 15 s"


def triggers_say_what_their_scaler_reads(subject: Subject) -> Iterator[str]:
    for one, trigger, where in _triggers(subject):
        kind, said = str(trigger.get("type")), trigger.get("metadata") or {}
        if kind not in _FIELDS:
            yield f"{where}: the chart has no use for the scaler {kind}"
            continue
        yield from (
            f"{where}: {name} is {value!r}, no text" for name, value in said.items() if not isinstance(value, str)
        )
        if strange := set(said) - _FIELDS[kind]:
            yield f"{where}: {kind} does not read {', '.join(sorted(strange))}"
        if missing := _NEEDED[kind] - set(said):
            yield f"{where}: {kind} is not told {', '.join(sorted(missing))}"
        if trigger.get("useCachedMetrics") and (kind in _UNCACHED or one["kind"] == "ScaledJob"):
            yield f"{where}: useCachedMetrics is not supported there"
        yield from (f"{where}: {fault}" for fault in (_sqs(said) if kind == _SQS else _prometheus(said)))
    for one in subject.objects.of("ScaledObject", "ScaledJob"):
        names = Counter(trigger["name"] for trigger in one["spec"].get("triggers") or () if trigger.get("name"))
        yield from (f"{title(one)}: {count} triggers are called {name}" for name, count in names.items() if count > 1)


def _sqs(said: Object) -> Iterator[str]:
    if not re.fullmatch(r"[1-9]\d*", str(said.get("queueLength", ""))):
        yield f"queueLength is {said.get('queueLength')!r}"
    if str(said.get("activationQueueLength", "0")) != "0":
        yield f"activationQueueLength {said['activationQueueLength']}: the last messages would wait for ever"
    if str(said.get("scaleOnInFlight")).lower() != "true":
        yield "scaleOnInFlight is not true: busy pods would not count, and be taken away"
    if ("queueURL" in said) is ("queueURLFromEnv" in said):
        yield "says queueURL and queueURLFromEnv, or neither"


def _prometheus(said: Object) -> Iterator[str]:
    for name in ("threshold", "activationThreshold"):
        if name in said and not re.fullmatch(r"\d+(\.\d+)?", str(said[name])):
            yield f"{name} is {said[name]!r}"
    if urlsplit(str(said.get("serverAddress", ""))).scheme not in {"http", "https"}:
        yield f"serverAddress is {said.get('serverAddress')!r}, no URL"


def queues_are_found(subject: Subject) -> Iterator[str]:
    """`queueURLFromEnv` names a variable of the target's container; KEDA reads text and ConfigMaps there."""
    for one, trigger, where in _triggers(subject):
        said = trigger.get("metadata") or {}
        if trigger.get("type") != _SQS:
            continue
        url: Any = said.get("queueURL")
        if "queueURLFromEnv" in said:
            container = _source(subject, one)
            environment = {} if container is None else subject.environment(container)
            if said["queueURLFromEnv"] not in environment:
                yield f"{where}: its container has no variable {said['queueURLFromEnv']}"
                continue
            url = environment[said["queueURLFromEnv"]]
        if url is REQUIRED:
            continue
        parts = urlsplit(str(url)).path.split("/")
        if not urlsplit(str(url)).scheme or len(parts) != 3 or not parts[2]:
            yield f"{where}: {url!r} is no queue's URL"


def triggers_are_let_in(subject: Subject) -> Iterator[str]:
    used = set()
    for one, trigger, where in _triggers(subject):
        reference = trigger.get("authenticationRef") or {}
        used.add((reference.get("kind", "TriggerAuthentication"), reference.get("name")))
        if trigger.get("type") == _SQS and not reference:
            yield f"{where}: nothing says with whose rights the queue is counted"
        elif (
            reference
            and subject.objects.named(reference.get("kind", "TriggerAuthentication"), reference["name"]) is None
        ):
            yield f"{where}: {reference['name']} is no TriggerAuthentication"
        yield from (f"{where}: {fault}" for fault in _workload_identity(subject, one, reference))
    for one in subject.objects.of("TriggerAuthentication"):
        yield from (f"{title(one)}: {fault}" for fault in _identity(one["spec"].get("podIdentity") or {}))
        if (one["kind"], one["metadata"]["name"]) not in used:
            yield f"{title(one)}: no trigger refers to it"


def _identity(said: Object) -> Iterator[str]:
    if said.get("provider") in _DEPRECATED:
        yield f"{said['provider']} is deprecated; the provider is aws"
    if said.get("roleArn") and said.get("identityOwner") == "workload":
        yield "KEDA refuses a roleArn where the workload is identityOwner"
    if said.get("externalID") and not said.get("roleArn"):
        yield "KEDA refuses an externalID without roleArn"


def _workload_identity(subject: Subject, one: Object, reference: Object) -> Iterator[str]:
    """`identityOwner: workload` reads the role from the annotation of the workload's ServiceAccount."""
    found = subject.objects.named("TriggerAuthentication", reference.get("name")) or {"spec": {}}
    if (found["spec"].get("podIdentity") or {}).get("identityOwner") != "workload":
        return
    target = _target(subject, one)
    name = ((target or {}).get("spec") or {}).get("serviceAccountName")
    account = subject.objects.named("ServiceAccount", name)
    if account is not None and _ROLE not in (account["metadata"].get("annotations") or {}):
        yield f"ServiceAccount/{name} has no role for KEDA to take"


def jobs_are_scaled_without_killing_them(subject: Subject) -> Iterator[str]:
    for one in subject.objects.of("ScaledJob"):
        if (one["spec"].get("rollout") or {}).get("strategy") != "gradual":
            yield f"{title(one)}: its rollout is not gradual: a new chart kills running jobs"


def _triggers(subject: Subject) -> Iterator[tuple[Object, Object, str]]:
    for one in subject.objects.of("ScaledObject", "ScaledJob"):
        triggers = one["spec"].get("triggers") or ()
        if not triggers:
            yield one, {}, f"{title(one)}, without triggers"
        for number, trigger in enumerate(triggers):
            yield one, trigger, f"{title(one)}, trigger {trigger.get('name', number)}"


def _target(subject: Subject, one: Object) -> Object | None:
    """Return the template of the pods that are scaled."""
    if one["kind"] == "ScaledJob":
        return dict(one["spec"]["jobTargetRef"]["template"])
    reference = one["spec"].get("scaleTargetRef") or {}
    found = subject.objects.named(reference.get("kind", "Deployment"), reference.get("name"))
    return None if found is None else dict(found["spec"]["template"])


def _source(subject: Subject, one: Object) -> Object | None:
    """Return the container whose variables KEDA reads: the first, where none is named."""
    template = _target(subject, one)
    if template is None:
        return None
    holder = one["spec"] if one["kind"] == "ScaledJob" else one["spec"]["scaleTargetRef"]
    wanted = holder.get("envSourceContainerName")
    return next((each for each in template["spec"]["containers"] if wanted in {None, each["name"]}), None)


CHECKS = (
    one_scaler_owns_a_target,
    bounds_are_in_order,
    behaviour_is_one_the_hpa_takes,
    triggers_say_what_their_scaler_reads,
    queues_are_found,
    triggers_are_let_in,
    jobs_are_scaled_without_killing_them,
)

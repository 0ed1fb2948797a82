"""Jobs and CronJobs: when they start, when they end, and which ends are failures."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tests.chart.objects import job_spec, title
from tests.chart.semantics import cron

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.objects import Object
    from tests.chart.semantics.subject import Subject

_CONTROLLER_LOOKS_EVERY = 10
_USAGE, _KILLED = 2, 137
_MOST_RULES = 20


def schedules_are_due_some_day(subject: Subject) -> Iterator[str]:
    for one in subject.objects.of("CronJob"):
        spec, where = one["spec"], title(one)
        if fault := cron.fault(str(spec.get("schedule", ""))):
            yield f"{where}: {spec.get('schedule')!r} {fault}"
        zone = spec.get("timeZone")
        if not zone or not _is_zone(str(zone)):
            yield f"{where}: timeZone {zone!r}; without one the controller manager's local time would count"
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{where}: concurrencyPolicy {spec.get('concurrencyPolicy')}: two runs of it at once"
        if spec.get("startingDeadlineSeconds", 0) < _CONTROLLER_LOOKS_EVERY:
            yield f"{where}: startingDeadlineSeconds is missing, or so short that starts are missed"


def _is_zone(name: str) -> bool:
    """Kubernetes takes the names of the time zone database, and refuses Local."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return name != "Local"


def jobs_end(subject: Subject) -> Iterator[str]:
    for one in subject.objects.of("Job", "CronJob", "ScaledJob"):
        spec, where = job_spec(one) or {}, title(one)
        if spec.get("activeDeadlineSeconds", 0) < 1:
            yield f"{where}: says no activeDeadlineSeconds: a hung pod hangs for ever"
        if "backoffLimit" not in spec:
            yield f"{where}: says no backoffLimit; 6 would count"
        if "ttlSecondsAfterFinished" not in spec and one["kind"] != "ScaledJob" and not _is_hook(one):
            yield f"{where}: says no ttlSecondsAfterFinished: ended Jobs pile up"
        if (spec.get("completions", 1), spec.get("parallelism", 1)) != (1, 1):
            yield f"{where}: more than one pod would do the same"


def _is_hook(one: Object) -> bool:
    return "helm.sh/hook-delete-policy" in (one["metadata"].get("annotations") or {})


def failure_policies_are_valid(subject: Subject) -> Iterator[str]:
    """Read as in Kubernetes' own validation of batch/v1."""
    for pods in subject.objects.pods():
        spec = job_spec(pods.object) or {}
        policy = spec.get("podFailurePolicy")
        if policy is None:
            continue
        if pods.spec.get("restartPolicy") != "Never":
            yield f"{pods.owner}: podFailurePolicy wants restartPolicy Never"
        if spec.get("podReplacementPolicy", "Failed") != "Failed":
            yield f"{pods.owner}: podFailurePolicy wants podReplacementPolicy Failed"
        if not 1 <= len(policy.get("rules") or ()) <= _MOST_RULES:
            yield f"{pods.owner}: podFailurePolicy has {len(policy.get('rules') or ())} rules"
        names = [container["name"] for container in pods.containers]
        for number, rule in enumerate(policy.get("rules") or ()):
            yield from (
                f"{pods.owner}, rule {number} of podFailurePolicy: {fault}" for fault in _rule(rule, names, spec)
            )


def _rule(rule: Object, names: list[str], spec: Object) -> Iterator[str]:
    if ("onExitCodes" in rule) is ("onPodConditions" in rule):
        yield "wants onExitCodes or onPodConditions"
    if rule.get("action") == "FailIndex" and "backoffLimitPerIndex" not in spec:
        yield "FailIndex wants backoffLimitPerIndex"
    codes = rule.get("onExitCodes")
    if codes is not None:
        values = codes.get("values") or []
        if not values or len(set(values)) != len(values):
            yield f"its exit codes are {values}"
        if codes.get("operator") == "In" and 0 in values:
            yield "0 is no failure: `In` may not hold it"
        if codes.get("containerName", names[0]) not in names:
            yield f"there is no container {codes['containerName']}"
    for condition in rule.get("onPodConditions") or ():
        if not condition.get("type") or not condition.get("status"):
            yield "a condition wants type and status"


def failures_are_read_by_our_exit_codes(subject: Subject) -> Iterator[str]:
    """The first rule that fits counts. Wrong usage stays wrong; what was killed or evicted is no failure of ours."""
    for one in subject.objects.of("CronJob"):
        rules: list[Object] = ((job_spec(one) or {}).get("podFailurePolicy") or {}).get("rules") or []
        if _first(rules, _USAGE) != "FailJob":
            yield f"{title(one)}: exit code 2 (usage or configuration) is tried again"
        if _first(rules, _KILLED) != "Ignore":
            yield f"{title(one)}: exit code 137 (killed from outside) counts as a try"
        if "Ignore" not in [rule.get("action") for rule in rules if _is_disruption(rule)][:1]:
            yield f"{title(one)}: an evicted pod counts as a try"


def a_workers_job_has_one_pod(subject: Subject) -> Iterator[str]:
    """A second one would take messages with what is left of the first one's deadline; KEDA starts a Job anew."""
    for one in subject.objects.of("ScaledJob"):
        spec = job_spec(one) or {}
        rules = (spec.get("podFailurePolicy") or {}).get("rules") or []
        if spec.get("backoffLimit") != 0 or "Ignore" in {rule.get("action") for rule in rules}:
            yield f"{title(one)}: a pod that failed is replaced within a Job whose deadline runs"


def _first(rules: list[Object], code: int) -> str:
    """Return what becomes of a pod that ended with this code, and was not disrupted."""
    for rule in rules:
        codes = rule.get("onExitCodes")
        if codes and (code in codes.get("values", ())) is (codes.get("operator") == "In"):
            return str(rule.get("action"))
    return "Count"


def _is_disruption(rule: Object) -> bool:
    return any(condition.get("type") == "DisruptionTarget" for condition in rule.get("onPodConditions") or ())


CHECKS = (
    schedules_are_due_some_day,
    jobs_end,
    failure_policies_are_valid,
    failures_are_read_by_our_exit_codes,
    a_workers_job_has_one_pod,
)

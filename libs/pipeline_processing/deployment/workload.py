"""One run of a job, or any command, as a Kubernetes Job or CronJob: plain data. Pure.

Its pod runs under restricted Pod Security; a pod that replaces another resumes the same run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    Document = dict[str, Any]

UID: Final = 10_001
"""The image's user and group."""
CONTRACTS: Final = "/etc/pipeline-contracts"
"""Where a ConfigMap of contracts is mounted, as in the chart."""
NAME_LIMIT: Final = 63
"""A Job's name is a label of its pods."""
CRON_NAME_LIMIT: Final = 52
"""A CronJob's Jobs are called by its name and 11 characters more."""
BEGINNING_LIMIT: Final = 57
"""The API server ends a name that is only begun with a hyphen and 5 characters."""
PRODUCT: Final = "pipeline-processing"
"""The chart's name."""

RUN_ID: Final = "$(JOB_NAME)-$(JOB_UID)"
"""Of the Job, not of the pod: the same for a pod that replaces another, and new with every Job.

The name alone would be that of an older Job which is gone by now, and its run published. The scheduled time stands on
the Job only, in an annotation; a pod can not see it.
"""
RUN_ID_PARTS: Final = {"JOB_NAME": "batch.kubernetes.io/job-name", "JOB_UID": "batch.kubernetes.io/controller-uid"}
_CONTAINER: Final = "controller"
_GRACE: Final = 60
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What the pod asks for, and the memory and temporary disk that it may use, as Kubernetes' quantities."""

    cpu: str
    memory: str
    memory_limit: str
    scratch: str


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a Job may take, how often its pod is replaced, how long it is kept when it is over."""

    deadline: timedelta
    retries: int
    keep: timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a CronJob starts its Jobs."""

    cron: str
    timezone: str
    starting_deadline: timedelta


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of the cluster the pod uses, by name; no value of a Secret is ever here."""

    namespace: str | None = None
    service_account: str | None = None
    config_maps: Sequence[str] = ()
    secrets: Sequence[str] = ()
    contracts: str | None = None
    variables: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A Job. ``command`` stands before ``arguments``, and only in it are variables expanded.

    With ``is_begun`` its name is a beginning: as often as it is created, it is another Job.
    """

    name: str
    job: str | None
    """Whose run it is; None: a command is no run."""
    release: str
    image: str
    version: str
    command: Sequence[str]
    arguments: Sequence[str]
    resources: Resources
    timing: Timing
    surroundings: Surroundings = Surroundings()
    schedule: Schedule | None = None
    is_begun: bool = False

    def document(self) -> Document:
        """Return the object, ready for the API server."""
        kind, spec = ("CronJob", self._cron_spec(self.schedule)) if self.schedule else ("Job", self._job_spec())
        return {"apiVersion": "batch/v1", "kind": kind, "metadata": self._metadata(), "spec": spec}

    def _metadata(self) -> Document:
        metadata: Document = {"generateName": f"{self.name}-"} if self.is_begun else {"name": self.name}
        if self.surroundings.namespace:
            metadata["namespace"] = self.surroundings.namespace
        return {**metadata, "labels": self._labels()}

    def _labels(self) -> dict[str, str]:
        return {
            "app.kubernetes.io/name": PRODUCT,
            "app.kubernetes.io/instance": self.release,  # the release's NetworkPolicy is for its pod, too
            "app.kubernetes.io/component": _CONTAINER,
            "app.kubernetes.io/version": self.version,
            **({"pipeline-processing/job": self.job[:NAME_LIMIT].strip("_")} if self.job else {}),  # as labels may be
        }

    def _cron_spec(self, schedule: Schedule) -> Document:
        return {
            "schedule": schedule.cron,
            "timeZone": schedule.timezone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": _seconds(schedule.starting_deadline),
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 5,
            "jobTemplate": {"metadata": {"labels": self._labels()}, "spec": self._job_spec()},
        }

    def _job_spec(self) -> Document:
        return {
            "backoffLimit": self.timing.retries,
            "activeDeadlineSeconds": _seconds(self.timing.deadline),
            "ttlSecondsAfterFinished": _seconds(self.timing.keep),
            # Never two controllers of one run because a pod takes its time to end.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": {"metadata": {"labels": self._labels()}, "spec": self._pod_spec()},
        }

    def _pod_spec(self) -> Document:
        account = self.surroundings.service_account
        return {
            **({"serviceAccountName": account} if account else {}),
            # AWS credentials come by a token of their own, which EKS projects; the API server is not asked.
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": _GRACE,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": UID,
                "runAsGroup": UID,
                "fsGroup": UID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self._container()],
            "volumes": self._volumes(),
        }

    def _container(self) -> Document:
        resources, given = self.resources, self.surroundings
        sources: list[Document] = [{"configMapRef": {"name": name}} for name in given.config_maps]
        sources += [{"secretRef": {"name": name}} for name in given.secrets]
        mounts: list[Document] = [{"name": "scratch", "mountPath": "/tmp"}]  # noqa: S108 - the pod's own volume
        if given.contracts:
            mounts.append({"name": "contracts", "mountPath": CONTRACTS, "readOnly": True})
        return {
            "name": _CONTAINER,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "args": [*self.command, *map(literal, self.arguments)],
            "env": self._environment(),
            **({"envFrom": sources} if sources else {}),
            "resources": {
                "requests": {"cpu": resources.cpu, "memory": resources.memory},
                "limits": {"memory": resources.memory_limit},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": mounts,
        }

    def _environment(self) -> list[Document]:
        given = dict(self.surroundings.variables or {})
        if self.surroundings.contracts:
            given["PIPELINE_CONTRACTS_DIR"] = CONTRACTS
        labels: list[Document] = [
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{label}']"}}}
            for name, label in RUN_ID_PARTS.items()
            if any(f"$({name})" in word for word in self.command)
        ]
        return labels + [{"name": name, "value": literal(value)} for name, value in given.items()]

    def _volumes(self) -> list[Document]:
        volumes: list[Document] = [{"name": "scratch", "emptyDir": {"sizeLimit": self.resources.scratch}}]
        if self.surroundings.contracts:
            volumes.append({"name": "contracts", "configMap": {"name": self.surroundings.contracts}})
        return volumes


def prefix(release: str) -> str:
    """Return what the names of the chart's objects begin with, unless its values override that.

    >>> prefix("pipeline-processing"), prefix("nightly")
    ('pipeline-processing', 'nightly-pipeline-processing')
    """
    return release if PRODUCT in release else f"{release}-{PRODUCT}"


def literal(text: str) -> str:
    """Return what the kubelet makes ``text`` of: it expands ``$(NAME)`` and makes one ``$`` of two.

    >>> literal("$(HOME) for $5")
    '$$(HOME) for $$5'
    """
    return text.replace("$", "$$")


def _failure_rules() -> list[Document]:
    """Return which ends of a pod use up no retry, and which end the Job. The first rule that fits counts."""
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        # Configuration, and partly done: the next pod would come to the same.
        {"action": "FailJob", "onExitCodes": {"containerName": _CONTAINER, "operator": "In", "values": [2, 3]}},
        # Killed: the run is resumed; the Job's deadline bounds how often.
        {"action": "Ignore", "onExitCodes": {"containerName": _CONTAINER, "operator": "In", "values": [137]}},
    ]


def _seconds(duration: timedelta) -> int:
    return round(duration.total_seconds())

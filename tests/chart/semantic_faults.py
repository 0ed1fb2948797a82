"""Faults of single objects, which are planted in what is rendered: what each semantic check is there for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chart.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chart.objects import Object


@dataclass(frozen=True)
class ObjectFault:
    """``plant`` edits the first object of ``kind``; some check then ``says`` so."""

    kind: str
    plant: Callable[[Object], Any]
    says: str


def _pod(one: Object) -> Object:
    (pods,) = Objects((one,)).pods()
    found: Object = pods.template["spec"]
    return found


def _container(one: Object) -> Object:
    found: Object = _pod(one)["containers"][0]
    return found


def _trigger(one: Object) -> Object:
    found: Object = one["spec"]["triggers"][0]
    return found


def _anti_affinity(**labels: str) -> Object:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    weighted = [{"weight": 1, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": weighted}}


_DISRUPTION = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def _policy(one: Object) -> list[Object]:
    found: list[Object] = one["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    return found


NAMES = (
    ObjectFault(
        "CronJob", lambda one: one["metadata"].update(name="a" * 53), "53 characters, where a CronJob may have 52"
    ),
    ObjectFault("ScaledObject", lambda one: one["metadata"].update(name="a" * 55), "a ScaledObject may have 54"),
    ObjectFault("Deployment", lambda one: one["metadata"].update(name="Worker"), "this is no DNS name"),
    ObjectFault("ConfigMap", lambda one: one["metadata"].update(name="a_b"), "this is no DNS name"),
    ObjectFault("ConfigMap", lambda one: one["metadata"].update(namespace="default"), "not the release's"),
    ObjectFault("Deployment", lambda one: one["metadata"]["labels"].update(team="a" * 64), "which no label may hold"),
    ObjectFault("Deployment", lambda one: one["metadata"]["labels"].update(team=True), "which no label may hold"),
    ObjectFault("Deployment", lambda one: one["metadata"]["labels"].update({"-team": "x"}), "which no label may have"),
    ObjectFault("Deployment", lambda one: one["metadata"].update(annotations={"a": 1}), "can not have 'a': 1"),
    ObjectFault("Deployment", lambda one: _container(one).update(name="Worker"), "names no container"),
    ObjectFault("Deployment", lambda one: _pod(one)["containers"].append(_container(one)), "2 containers are called"),
    ObjectFault(
        "Deployment", lambda one: _container(one)["ports"][0].update(name="a-name-of-sixteen"), "names no port"
    ),
    ObjectFault(
        "Deployment", lambda one: _container(one)["ports"].append(_container(one)["ports"][0]), "2 ports are called"
    ),
    ObjectFault(
        "Deployment", lambda one: _container(one).update(env=[{"name": "1 a", "value": ""}]), "names no variable"
    ),
    ObjectFault(
        "Deployment", lambda one: _container(one).update(env=[{"name": "A"}, {"name": "A"}]), "2 variables are called"
    ),
    ObjectFault(
        "Deployment", lambda one: _pod(one).update(restartPolicy="Never"), "restartPolicy Never; a Deployment takes"
    ),
    ObjectFault("CronJob", lambda one: _pod(one).pop("restartPolicy"), "restartPolicy Always; a CronJob takes"),
    ObjectFault("CronJob", lambda one: _container(one).update(imagePullPolicy="always"), "imagePullPolicy is 'always'"),
    ObjectFault(
        "PodDisruptionBudget", lambda one: one["spec"].update(unhealthyPodEvictionPolicy="Always"), "is 'Always'"
    ),
    ObjectFault("NetworkPolicy", lambda one: one["spec"].update(policyTypes=["ingress"]), "policyTypes.# is 'ingress'"),
)

PODS = (
    ObjectFault("Deployment", lambda one: _pod(one).update(hostNetwork=True), "hostNetwork is set"),
    ObjectFault("Deployment", lambda one: _pod(one).update(hostPID=True), "hostPID is set"),
    ObjectFault(
        "Deployment", lambda one: _pod(one)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "is a hostPath"
    ),
    ObjectFault(
        "Deployment", lambda one: _pod(one)["securityContext"].update(runAsUser=0), "runs as root, or sets sysctls"
    ),
    ObjectFault(
        "Deployment",
        lambda one: _container(one)["securityContext"].update(runAsNonRoot=False),
        "runAsNonRoot is not true",
    ),
    ObjectFault("Deployment", lambda one: _container(one)["securityContext"].update(runAsUser=0), ": runs as root"),
    ObjectFault("Deployment", lambda one: _container(one)["securityContext"].update(privileged=True), "is privileged"),
    ObjectFault(
        "Deployment", lambda one: _container(one)["securityContext"].update(procMount="Unmasked"), "unmasks /proc"
    ),
    ObjectFault(
        "Deployment",
        lambda one: _container(one)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
        "adds the capabilities SYS_ADMIN",
    ),
    ObjectFault(
        "Deployment", lambda one: _container(one)["ports"][0].update(hostPort=8080), "takes the port 8080 of its host"
    ),
    ObjectFault("ScaledJob", lambda one: _pod(one).pop("securityContext"), "has no seccompProfile"),
    ObjectFault("ScaledJob", lambda one: _container(one).pop("securityContext"), "does not drop ALL capabilities"),
    ObjectFault(
        "Deployment", lambda one: _pod(one)["securityContext"].update(runAsGroup=0), "does not run as 10001:10001"
    ),
    ObjectFault(
        "Deployment", lambda one: _pod(one)["volumes"][0]["emptyDir"].pop("sizeLimit"), "has no bounded emptyDir"
    ),
    ObjectFault(
        "Deployment", lambda one: _container(one).update(image="pipeline-processing"), "another image every day"
    ),
    ObjectFault(
        "Deployment", lambda one: _container(one).update(image="host:5000/pipeline"), "another image every day"
    ),
    ObjectFault("Deployment", lambda one: _container(one).pop("livenessProbe"), "nobody asking whether it lives"),
    ObjectFault(
        "Deployment", lambda one: _container(one)["livenessProbe"].pop("httpGet"), "livenessProbe asks nothing"
    ),
    ObjectFault(
        "Deployment", lambda one: _container(one)["livenessProbe"]["httpGet"].update(path="/"), "does not serve"
    ),
    ObjectFault(
        "Deployment",
        lambda one: _container(one)["ports"].append({"name": "debug", "containerPort": 1}),
        "nobody uses the port debug",
    ),
    ObjectFault(
        "Deployment",
        lambda one: _pod(one)["volumes"].append({"name": "x", "emptyDir": {}}),
        "nobody mounts the volume x",
    ),
    ObjectFault(
        "Deployment", lambda one: _pod(one)["volumes"].append(_pod(one)["volumes"][0]), "two volumes are called"
    ),
    ObjectFault(
        "Deployment",
        lambda one: _container(one)["volumeMounts"].append(_container(one)["volumeMounts"][0]),
        "two mounts at",
    ),
    ObjectFault("Deployment", lambda one: _container(one)["resources"]["requests"].pop("cpu"), "asks for no cpu"),
    ObjectFault("Deployment", lambda one: _container(one)["resources"].pop("limits"), "has no limit of memory"),
    ObjectFault(
        "Deployment", lambda one: _container(one)["resources"]["requests"].update(memory="1 GB"), "is no quantity"
    ),
    ObjectFault("Deployment", lambda one: one["spec"].pop("replicas", None), "nobody says how many pods it has"),
)

REFERENCES = (
    ObjectFault(
        "Deployment", lambda one: _pod(one).pop("serviceAccountName"), "the namespace's default ServiceAccount"
    ),
    ObjectFault("Deployment", lambda one: _pod(one).update(imagePullSecrets=[{"name": "x"}]), "needs Secret/x"),
    ObjectFault(
        "Deployment",
        lambda one: _container(one)["envFrom"].append({"secretRef": {"name": "x"}}),
        "needs Secret/x",
    ),
    ObjectFault(
        "Deployment",
        lambda one: _container(one).update(
            env=[
                {
                    "name": "A",
                    "valueFrom": {"configMapKeyRef": {"name": "pipeline-pipeline-processing-settings", "key": "B"}},
                }
            ]
        ),
        "needs the key B of ConfigMap/pipeline-pipeline-processing-settings",
    ),
    ObjectFault("CronJob", lambda one: _container(one).pop("envFrom"), "has no PIPELINE_CONTROL_BUCKET"),
    ObjectFault(
        "Deployment",
        lambda one: one["spec"]["selector"]["matchLabels"].update({"helm.sh/chart": "x"}),
        "which changes and may not",
    ),
    ObjectFault("PodDisruptionBudget", lambda one: one["spec"].pop("maxUnavailable"), "says no maxUnavailable"),
    ObjectFault(
        "NetworkPolicy", lambda one: one["spec"]["podSelector"]["matchLabels"].update(a="b"), "selects no pods"
    ),
    ObjectFault(
        "NetworkPolicy", lambda one: one["spec"].update(policyTypes=["Ingress"]), "egress rules that do not count"
    ),
    ObjectFault("PodMonitor", lambda one: one["spec"]["selector"]["matchLabels"].update(a="b"), "selects no pods"),
    ObjectFault(
        "PodMonitor", lambda one: one["spec"]["podMetricsEndpoints"][0].update(path="/stats"), "scrapes /stats"
    ),
    ObjectFault(
        "ConfigMap", lambda one: one["metadata"].update(name="left-over"), "ConfigMap/left-over: nobody reads it"
    ),
)

KEDA = (
    ObjectFault("ScaledObject", lambda one: one["spec"].update(idleReplicaCount=1), "idleReplicaCount may only be 0"),
    ObjectFault("ScaledObject", lambda one: one["spec"].update(pollingInterval=0), "is no time"),
    ObjectFault("ScaledObject", lambda one: one["spec"]["fallback"].update(failureThreshold=0), "holds from the start"),
    ObjectFault(
        "ScaledObject",
        lambda one: [trigger.update(metricType="Value") for trigger in one["spec"]["triggers"]],
        "no trigger of the type AverageValue",
    ),
    ObjectFault("ScaledObject", lambda one: one["spec"]["advanced"].clear(), "all pods may go in 15 s"),
    ObjectFault(
        "ScaledObject",
        lambda one: one["spec"]["advanced"]["horizontalPodAutoscalerConfig"].update(name="a" * 64),
        "HPA's name is longer than 63",
    ),
    ObjectFault(
        "ScaledObject",
        lambda one: one["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"].update(
            stabilizationWindowSeconds=7200
        ),
        "an hour is the most",
    ),
    ObjectFault("ScaledObject", lambda one: _trigger(one).update(type="cpu"), "has no use for the scaler cpu"),
    ObjectFault(
        "ScaledObject", lambda one: _trigger(one)["metadata"].update(queueLength=5), "queueLength is 5, no text"
    ),
    ObjectFault("ScaledObject", lambda one: _trigger(one)["metadata"].update(queueLength="0"), "queueLength is '0'"),
    ObjectFault(
        "ScaledObject",
        lambda one: _trigger(one)["metadata"].update(identityOwner="operator"),
        "does not read identityOwner",
    ),
    ObjectFault("ScaledObject", lambda one: _trigger(one)["metadata"].pop("awsRegion"), "is not told awsRegion"),
    ObjectFault(
        "ScaledObject",
        lambda one: _trigger(one)["metadata"].update(queueURL="https://a/1/b"),
        "queueURLFromEnv, or neither",
    ),
    ObjectFault("ScaledObject", lambda one: one["spec"]["triggers"].clear(), "without triggers"),
    ObjectFault("ScaledObject", lambda one: _trigger(one).pop("authenticationRef"), "with whose rights"),
    ObjectFault(
        "ScaledObject",
        lambda one: one["spec"]["scaleTargetRef"].update(envSourceContainerName="x"),
        "which is no container of it",
    ),
    ObjectFault(
        "ScaledObject",
        lambda one: one["spec"]["triggers"][-1]["metadata"].update(threshold="five"),
        "threshold is 'five'",
    ),
    ObjectFault(
        "ScaledObject", lambda one: one["spec"]["triggers"][-1]["metadata"].update(serverAddress="prometheus"), "no URL"
    ),
    ObjectFault(
        "ScaledJob", lambda one: _trigger(one).update(useCachedMetrics=True), "useCachedMetrics is not supported"
    ),
    ObjectFault(
        "ScaledJob",
        lambda one: _container(one).update(env=[{"name": "QUEUE_URL", "value": "live"}]),
        "'live' is no queue's URL",
    ),
    ObjectFault(
        "TriggerAuthentication", lambda one: one["spec"]["podIdentity"].update(provider="aws-eks"), "is deprecated"
    ),
    ObjectFault(
        "TriggerAuthentication",
        lambda one: one["spec"]["podIdentity"].update(externalID="x", roleArn=""),
        "externalID without roleArn",
    ),
    ObjectFault(
        "TriggerAuthentication",
        lambda one: one["spec"]["podIdentity"].update(identityOwner="workload", roleArn="arn"),
        "refuses a roleArn",
    ),
    ObjectFault("TriggerAuthentication", lambda one: one["metadata"].update(name="other"), "no trigger refers to it"),
)

JOBS = (
    ObjectFault("CronJob", lambda one: one["spec"].update(schedule="TZ=UTC 0 1 * * *"), "belongs into timeZone"),
    ObjectFault("CronJob", lambda one: one["spec"].update(schedule="0 1 * *"), "has 4 fields, not 5"),
    ObjectFault("CronJob", lambda one: one["spec"].update(timeZone="Local"), "timeZone 'Local'"),
    ObjectFault("CronJob", lambda one: one["spec"].update(concurrencyPolicy="Allow"), "two runs of it at once"),
    ObjectFault("CronJob", lambda one: one["spec"].update(startingDeadlineSeconds=9), "starts are missed"),
    ObjectFault(
        "CronJob", lambda one: one["spec"]["jobTemplate"]["spec"].pop("activeDeadlineSeconds"), "hangs for ever"
    ),
    ObjectFault("CronJob", lambda one: one["spec"]["jobTemplate"]["spec"].pop("backoffLimit"), "says no backoffLimit"),
    ObjectFault(
        "CronJob", lambda one: one["spec"]["jobTemplate"]["spec"].pop("ttlSecondsAfterFinished"), "ended Jobs pile up"
    ),
    ObjectFault("CronJob", lambda one: one["spec"]["jobTemplate"]["spec"].update(parallelism=2), "would do the same"),
    ObjectFault(
        "CronJob",
        lambda one: one["spec"]["jobTemplate"]["spec"].update(podReplacementPolicy="TerminatingOrFailed"),
        "wants podReplacementPolicy Failed",
    ),
    ObjectFault("CronJob", lambda one: _policy(one).clear(), "podFailurePolicy has 0 rules"),
    ObjectFault("CronJob", lambda one: _policy(one)[1].update(action="FailIndex"), "wants backoffLimitPerIndex"),
    ObjectFault(
        "CronJob", lambda one: _policy(one)[1].update(onPodConditions=[]), "wants onExitCodes or onPodConditions"
    ),
    ObjectFault(
        "CronJob", lambda one: _policy(one)[1]["onExitCodes"].update(values=[2, 2]), "its exit codes are [2, 2]"
    ),
    ObjectFault("CronJob", lambda one: _policy(one)[0]["onPodConditions"][0].pop("status"), "wants type and status"),
    ObjectFault("CronJob", lambda one: _policy(one).pop(), "exit code 137"),
    ObjectFault(
        "ScaledJob",
        lambda one: one["spec"]["jobTargetRef"].update(backoffLimit=1),
        "is replaced within a Job whose deadline runs",
    ),
    ObjectFault(
        "ScaledJob",
        lambda one: one["spec"]["jobTargetRef"].update(podFailurePolicy={"rules": [_DISRUPTION]}),
        "is replaced within a Job whose deadline runs",
    ),
)

PRODUCT = (
    ObjectFault(
        "Deployment",
        lambda one: _container(one).update(env=[{"name": "PIPELINE_LEASE", "value": "5m "}]),
        "blanks around its value",
    ),
    ObjectFault(
        "Deployment",
        lambda one: _container(one).update(env=[{"name": "PIPELINE_LEASE", "value": "soon"}]),
        "PIPELINE_LEASE",
    ),
    ObjectFault(
        "ScaledJob",
        lambda one: [each.update(value="nights") for each in _container(one)["env"] if each["name"] == "PIPELINE_POOL"],
        "PIPELINE_POOL is nights",
    ),
    ObjectFault("ScaledJob", lambda one: _pod(one).update(terminationGracePeriodSeconds=7200), "has a grace of 7200 s"),
    ObjectFault(
        "ScaledJob",
        lambda one: _container(one)["args"].append("$(B)"),
        "'$(B)' names a variable",
    ),
)

OBJECT_FAULTS = (*NAMES, *PODS, *REFERENCES, *KEDA, *JOBS, *PRODUCT)

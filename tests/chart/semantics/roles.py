"""Who a pod is in AWS: it has the account of the role that the values give it, and the account that role's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.chart.objects import title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chart.objects import Pods
    from tests.chart.semantics.subject import Subject

_COMPONENT = "app.kubernetes.io/component"
_ROLE = "eks.amazonaws.com/role-arn"


def pods_have_the_account_of_their_role(subject: Subject) -> Iterator[str]:
    for pods in subject.objects.pods():
        role = _role(subject, pods)
        if role is None:
            continue
        account, own = str(pods.spec.get("serviceAccountName")), subject.values["identity"][role].get("serviceAccount")
        if account != own if own else not account.endswith(f"-{role}"):
            yield f"{pods.owner}: its role is {role}, and its account {account}"


def _role(subject: Subject, pods: Pods) -> str | None:
    """Return the role that the values give to these pods; None for a migration's, which has none."""
    values = subject.values
    match component := pods.labels.get(_COMPONENT):
        case "worker":
            return _said(values, "pools", "poolDefaults", pods.labels["pipeline-processing/pool"])
        case "controller":
            return _said(values, "schedules", "scheduleDefaults", pods.labels["pipeline-processing/schedule"])
        case "migration":
            return None
        case _:
            return component


def _said(values: Any, section: str, defaults: str, name: str) -> str:  # noqa: ANN401 - values have any type
    own = next(one for one in values[section] if one["name"] == name)
    return str((values[defaults] | own)["role"])


def accounts_name_the_role_of_the_values(subject: Subject) -> Iterator[str]:
    """IRSA alone says it there; Pod Identity is told by AWS."""
    identity = subject.values["identity"]
    for one in subject.objects.of("ServiceAccount"):
        component = one["metadata"]["labels"][_COMPONENT]
        named = (one["metadata"].get("annotations") or {}).get(_ROLE)
        meant = (identity.get(component) or {}).get("roleArn") if identity["kind"] == "irsa" else None
        if named != (meant or None):
            yield f"{title(one)}: names the role {named}, where the values say {meant} for {component}"


CHECKS = (pods_have_the_account_of_their_role, accounts_name_the_role_of_the_values)

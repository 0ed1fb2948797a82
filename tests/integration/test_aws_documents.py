"""The documents of ``docs/aws``, as a reader fills and uses them: each is taken by its service, and is safe."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import timedelta
from functools import cache
from string import Template
from typing import TYPE_CHECKING, Any, Final

import pytest
from harness.iam import Need, granting
from harness.permissions import ATTACHED, FOLDER, NAMES, policies

from aws_command import NOTE, noted, run
from etl_core.aws import AwsClients
from etl_core.queue import MESSAGE_LIMIT
from etl_core.queue.sqs import SqsQueue
from pipeline_local.resources import client
from pipeline_processing.deployment import Lane
from pipeline_processing.layout import RunLayout, probe
from pipeline_processing.safety import SPARE_RECEIVES, unsafe
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from conftest import LocalStack

ROOT: Final = FOLDER.parents[1]
PAGE: Final = (ROOT / "docs/aws.md").read_text()
BLOCKS: Final = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
"""The commands, in their order: values, queues, buckets, roles by IRSA, by Pod Identity, one more lane, a role for it
alone, before and after a check."""
DOCUMENTS: Final = sorted(path.name for path in FOLDER.iterdir())
TRUST: Final = ("trust-irsa.json", "trust-keda.json", "trust-pod-identity.json")
LIFECYCLES: Final = ("lifecycle-control.json", "lifecycle-destination.json", "lifecycle-silver.json")
BUCKETS: Final = {
    "control": "example-pipeline-control",
    "destination": "example-agency-files",
    "silver": "example-silver",
}
OVER: Final = timedelta(days=400)
"""A run's records may go when they are this old, no sooner."""


def bash(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script, after the page's values, from the root of the repository."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **variables}
    command = ["bash", "-euc", script]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@cache
def filled(name: str, **values: str) -> Any:  # noqa: ANN401 - JSON
    """Return a document as the page's own ``fill`` prints it."""
    given = "".join(f"export {placeholder}={value}\n" for placeholder, value in values.items())
    ran = bash(f"{BLOCKS[0]}{given}fill {name}")
    assert 0 == ran.returncode, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_tidy_and_the_page_says_what_it_is_for(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert json.dumps(json.loads(text), indent=2) + "\n" == text
    assert f"(aws/{name})" in PAGE


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_reader_who_follows_the_page_leaves_no_placeholder_open(name: str) -> None:
    for_a_use = {"Queue": "q", "DeadLetterQueue": "q-dlq", "ServiceAccount": "s"}
    assert "${" not in json.dumps(filled(name, **for_a_use))


def test_a_placeholder_without_a_value_is_told_by_name() -> None:
    ran = bash(f"{BLOCKS[0]}unset Region\nfill keda.json")
    assert 1 == ran.returncode
    assert "KeyError: 'Region'" in ran.stderr


def test_the_page_says_what_every_placeholder_is() -> None:
    used = {name for path in FOLDER.iterdir() for name in re.findall(r"\$\{(\w+)\}", path.read_text())}
    told = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert used == told


@pytest.fixture(scope="module")
def made(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of clients, after all commands of the page have been run against the local endpoint."""
    calls = tmp_path_factory.mktemp("page") / "calls"
    values, queues, buckets, roles, pod_identity, lane, alone, *check = BLOCKS
    local = f"{values}export Account=000000000000\n"
    definition = roles[: roles.index("\nrole ")]
    making = queues[: queues.index("\nqueues ")]
    more = f"{making}\n{definition}\n{lane}{alone}"
    elsewhere = pod_identity.replace("role pipeline-", "role pods-").replace('role "$KedaRole"', "role pods-keda")
    for script in (f"{queues}{buckets}{roles}", f"{definition}\n{elsewhere}", more, "".join(check)):
        ran = bash(f"{NOTE}{local}{script}", AWS_CALLS=str(calls))
        assert 0 == ran.returncode, ran.stderr
    environment = {**local_stack.environment, "AWS_DEFAULT_REGION": "eu-central-1"}
    for arguments in noted(calls):
        run(arguments, environment)
    return environment


@pytest.fixture
def lane(made: Mapping[str, str]) -> tuple[str, str]:
    """The URLs of the live lane's queue and dead-letter queue."""
    sqs = client("sqs", made)
    queue, dead_letters = (sqs.get_queue_url(QueueName=f"pipeline-live{end}")["QueueUrl"] for end in ("", "-dlq"))
    return queue, dead_letters


@pytest.mark.usefixtures("aws_environment")
async def test_the_documented_queues_are_safe_with_the_default_settings(
    lane: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    clients = AwsClients()
    try:
        policy, dead_letters = [await SqsQueue(clients, address).policy() for address in lane]
    finally:
        await clients.aclose()
    settings = Settings()
    assert [] == unsafe(settings, policy, dead_letters)
    assert (settings.lease, settings.max_attempts + SPARE_RECEIVES) == (policy.lease, policy.max_receive_count)
    declared = Lane()
    assert (declared.retention, declared.dead_letter_retention, declared.max_receive_count) == (
        policy.retention,
        dead_letters.retention,
        policy.max_receive_count,
    ), "the chart declares other queues than the page makes"


def test_the_documented_queues_take_the_largest_message_and_give_it_to_no_other_queue(
    made: Mapping[str, str], lane: tuple[str, str]
) -> None:
    sqs = client("sqs", made)
    queue, dead_letters = (sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"] for url in lane)
    assert [MESSAGE_LIMIT] * 2 == [int(it["MaximumMessageSize"]) for it in (queue, dead_letters)]
    assert dead_letters["QueueArn"] == json.loads(queue["RedrivePolicy"])["deadLetterTargetArn"]
    allowed = json.loads(dead_letters["RedriveAllowPolicy"])
    assert {"redrivePermission": "byQueue", "sourceQueueArns": [queue["QueueArn"]]} == allowed


@pytest.mark.parametrize(("kind", "name"), BUCKETS.items(), ids=BUCKETS)
def test_the_documented_buckets_keep_versions_and_have_their_rules(
    kind: str, name: str, made: Mapping[str, str]
) -> None:
    s3 = client("s3", made)
    assert "Enabled" == s3.get_bucket_versioning(Bucket=name)["Status"]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert filled(f"lifecycle-{kind}.json")["Rules"] == rules
    assert filled(f"bucket-{kind}.json") == json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    assert {True} == set(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())


RUN: Final = RunLayout("pipeline", "r")
KEPT: Final[Mapping[str, tuple[str, ...]]] = {
    "lifecycle-control.json": (RUN.run, RUN.manifest, RUN.marker("0" * 32), RUN.dossier("0" * 32), RUN.success),
    "lifecycle-destination.json": ("catalog.json", "10/manifest/0.ndjson", "10/attachments/a.pdf"),
    "lifecycle-silver.json": (
        "silver/people/_delta_log/00000000000000000000.json",
        "silver/people/_agency_id=10/part-0.parquet",
        "silver/people__decisions/part-0.parquet",
        "silver/_contracts/people/0.odcs.yaml",
        "silver/_releases/people/0.parquet",
        "silver/plain/_manifest.json",
    ),
}


@pytest.mark.parametrize("name", LIFECYCLES)
def test_nothing_expires_that_is_still_needed(name: str) -> None:
    soonest = {key: _days(filled(name), key) for key in KEPT[name]}
    assert [] == [key for key, days in soonest.items() if days is not None and days < OVER.days]
    if name != "lifecycle-control.json":
        assert {None} == set(soonest.values())


@pytest.mark.parametrize(
    ("name", "prefix"), [("lifecycle-control.json", "pipeline"), ("lifecycle-silver.json", "silver")]
)
def test_what_a_killed_doctor_left_expires(name: str, prefix: str) -> None:
    assert 1 == _days(filled(name), probe(prefix, "0" * 32))


@pytest.mark.parametrize("name", LIFECYCLES)
def test_parts_of_uploads_that_nobody_completes_expire(name: str) -> None:
    (rule,) = (rule for rule in filled(name)["Rules"] if "AbortIncompleteMultipartUpload" in rule)
    assert ("Enabled", {"Prefix": ""}) == (rule["Status"], rule["Filter"])


def _days(document: Any, key: str) -> int | None:  # noqa: ANN401 - JSON
    """Return after how many days an object expires, or None for never."""
    days = [
        rule["Expiration"]["Days"]
        for rule in document["Rules"]
        if "Days" in rule.get("Expiration", {}) and key.startswith(rule["Filter"]["Prefix"])
    ]
    return min(days, default=None)


ROLES: Final = {
    **dict.fromkeys(
        ("controller", "worker", "operator", "monitor", "tables"), ("trust-irsa.json", "trust-pod-identity.json")
    ),
    "keda": ("trust-irsa.json", "trust-keda.json"),
}


@pytest.mark.parametrize(("role", "trusts"), ROLES.items(), ids=ROLES)
def test_the_documented_roles_have_their_trust_and_the_policies_that_scenarios_hold_them_to(
    role: str, trusts: tuple[str, str], made: Mapping[str, str]
) -> None:
    iam, (by_irsa, by_pods) = client("iam", made), trusts
    names = sorted(name.removesuffix(".json") for name in ATTACHED[role])
    account = {"ServiceAccount": "keda-operator" if role == "keda" else f"pipeline-processing-{role}"}
    values = account | {"Account": "000000000000"} | ({"Namespace": "keda"} if role == "keda" else {})
    for name, trust in ((f"pipeline-{role}", by_irsa), (f"pods-{role}", by_pods)):
        trusted = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        assert filled(trust, **values) == trusted
        attached = iam.list_role_policies(RoleName=name)["PolicyNames"]
        assert names == sorted(policy for policy in attached if not policy.endswith("-hours"))


HOURS: Final = {"Account": "000000000000"} | {
    f"{lane}{queue}": f"pipeline-hours{end}"
    for lane in ("Live", "Backfill")
    for queue, end in (("Queue", ""), ("DeadLetterQueue", "-dlq"))
}


def _of_queues(document: Any) -> list[tuple[str, list[str]]]:  # noqa: ANN401 - JSON
    return [(it["Sid"], sorted(set(it["Resource"]))) for it in document["Statement"] if "sqs:" in str(it["Action"])]


@pytest.mark.parametrize("role", ["controller", "worker", "operator", "monitor", "keda"])
def test_one_more_lane_gives_each_role_on_its_queues_what_it_has_on_the_others(
    role: str, made: Mapping[str, str]
) -> None:
    iam = client("iam", made)
    given = iam.get_role_policy(RoleName=f"pipeline-{role}", PolicyName=f"{role}-hours")["PolicyDocument"]
    wanted = _of_queues(filled(f"{role}.json", **HOURS))
    assert wanted
    assert wanted == [(it["Sid"], it["Resource"]) for it in given["Statement"]]


def test_a_lane_may_have_a_role_that_works_on_it_alone(made: Mapping[str, str]) -> None:
    given = client("iam", made).get_role_policy(RoleName="pipeline-hours", PolicyName="worker")["PolicyDocument"]
    assert filled("worker.json", **HOURS) == given
    assert "pipeline-live" not in json.dumps(given)


def test_one_more_lanes_queues_are_those_of_the_others(made: Mapping[str, str]) -> None:
    sqs = client("sqs", made)
    live, hours = (
        sqs.get_queue_attributes(
            QueueUrl=sqs.get_queue_url(QueueName=f"pipeline-{lane}")["QueueUrl"], AttributeNames=["All"]
        )["Attributes"]
        for lane in ("live", "hours")
    )
    own = {"QueueArn", "RedrivePolicy", "CreatedTimestamp", "LastModifiedTimestamp"}
    assert {name: value for name, value in live.items() if name not in own} == {
        name: value for name, value in hours.items() if name not in own
    }
    assert (
        "arn:aws:sqs:eu-central-1:000000000000:pipeline-hours-dlq"
        == json.loads(hours["RedrivePolicy"])["deadLetterTargetArn"]
    )


def test_the_page_makes_every_role_that_pods_have() -> None:
    assert {*ATTACHED} - {"inline", "doctor"} == {*ROLES}


def test_what_the_doctor_needs_is_given_for_the_time_of_a_check_only(tmp_path: Path) -> None:
    *made, before, after = BLOCKS
    assert [] == [block for block in made if re.search(r"^role .*\bdoctor\b", block, re.MULTILINE)]
    assert 0 == bash(f"{NOTE}{BLOCKS[0]}{before}{after}", AWS_CALLS=str(tmp_path / "calls")).returncode
    given, taken = noted(tmp_path / "calls")
    role = ["--role-name", "pipeline-operator", "--policy-name", "doctor"]
    assert ["iam", "put-role-policy", *role, "--policy-document"] == given[:-1]
    assert filled("doctor.json") == json.loads(given[-1])
    assert ["iam", "delete-role-policy", *role] == taken


def test_kedas_operator_takes_the_role_that_counts_by_its_own(made: Mapping[str, str]) -> None:
    """Without a token of its own it asks from the role of its Pod Identity."""
    iam = client("iam", made)
    own = iam.get_role(RoleName="keda-operator")["Role"]
    account = {"Account": "000000000000", "Namespace": "keda", "ServiceAccount": "keda-operator"}
    assert filled("trust-pod-identity.json", **account) == own["AssumeRolePolicyDocument"]
    assert ["keda-operator"] == iam.list_role_policies(RoleName="keda-operator")["PolicyNames"]
    counting = iam.get_role(RoleName="pods-keda")["Role"]["AssumeRolePolicyDocument"]["Statement"]
    assert [own["Arn"]] == [statement["Principal"]["AWS"] for statement in counting]
    (taking,) = filled("keda-operator.json", **account)["Statement"]
    assert [set(taking["Action"])] == [set(statement["Action"]) for statement in counting]
    assert "arn:aws:iam::000000000000:role/pipeline-keda" == taking["Resource"]


@pytest.mark.parametrize("trust", TRUST)
def test_a_role_is_trusted_to_one_account_of_one_workload(trust: str) -> None:
    (statement,) = filled(trust, ServiceAccount="one")["Statement"]
    assert "*" not in json.dumps(statement)
    conditions = statement.get("Condition", {}).get("StringEquals", {})
    if trust == "trust-keda.json":
        assert "arn:aws:iam::111122223333:role/keda-operator" == statement["Principal"]["AWS"]
    else:
        assert any("one" in value.split(":")[-1] for value in conditions.values())


@pytest.mark.parametrize("role", [role for role in ATTACHED if role != "inline"])
def test_another_evaluator_of_policies_comes_to_the_same(role: str, local_stack: LocalStack) -> None:
    """The endpoint's own: every action of ours on every kind of place."""
    iam = local_stack.client("iam")
    (name,) = ATTACHED[role]
    document = Template((FOLDER / name).read_text()).substitute(NAMES)
    actions = sorted({action for policy in policies(role) for _, _, action in policy.allowed() if action[:3] != "arn"})
    found = {
        (it["EvalActionName"], it["EvalResourceName"]): it["EvalDecision"] == "allowed"
        for arn in ARNS  # it looks at the first of a call only
        for it in iam.simulate_custom_policy(PolicyInputList=[document], ActionNames=actions, ResourceArns=[arn])[
            "EvaluationResults"
        ]
    }
    assert len(actions) * len(ARNS) == len(found)
    assert found == {(action, arn): bool(granting(policies(role), Need(action, arn))) for action, arn in found}


ARNS: Final = tuple(
    [f"arn:aws:sqs:{NAMES['Region']}:{NAMES['Account']}:{it}" for it in ("live", "live-dlq", "backfill-dlq", "live-2")]
    + [
        f"arn:aws:s3:::{place}"
        for place in (
            *("control", "source", "destination", "silver", "other", "control/k", "source/10/a.pdf"),
            *(f"control/{key}" for key in KEPT["lifecycle-control.json"]),
            *(f"destination/{key}" for key in KEPT["lifecycle-destination.json"]),
            *(f"silver/{key}" for key in KEPT["lifecycle-silver.json"]),
            *(f"control/{RUN.root}failed/0/1.json", f"control/{RUN.partial}", f"control/{probe('pipeline', '0')}"),
            "silver/silver/people/merged-0.parquet",
        )
    ]
)

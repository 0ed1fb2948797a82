"""The policies of ``docs/aws``: what they say, what they must never allow, and the rules by which that is decided."""

from __future__ import annotations

import json
import re
from string import Template
from typing import TYPE_CHECKING, Any, Final

import pytest
from harness.iam import Need, Policy, denying, granting
from harness.permissions import ATTACHED, FOLDER, NAMES, OF_BUCKETS, policies
from hypothesis import example, given
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from pipeline_processing.processors.get_s3_files import destination

if TYPE_CHECKING:
    from collections.abc import Iterable

IDENTITIES: Final = sorted({name for names in ATTACHED.values() for name in names})
INLINE_LIMIT: Final = 10_240
"""Characters of all policies that are embedded in a role, white space not counted."""
QUEUES: Final = ("live", "backfill", "live-dlq", "backfill-dlq")


def need(action: str, place: str, **context: str) -> Need:
    """Return a need for ``bucket``, ``bucket/key`` or a queue, as the action's service spells it."""
    service = action.partition(":")[0]
    arn = {"s3": f"arn:aws:s3:::{place}", "sqs": f"arn:aws:sqs:eu-central-1:000000000000:{place}"}.get(service, place)
    return Need(action, arn, tuple((name.replace("__", ":"), value) for name, value in context.items()))


def one(*statements: dict[str, Any]) -> list[Policy]:
    return [Policy.of("p", {"Version": "2012-10-17", "Statement": list(statements)})]


def allow(action: str | list[str], resource: str | list[str], **more: object) -> dict[str, Any]:
    return {"Sid": "a", "Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: str, resource: str, **more: object) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Sid": "d", "Effect": "Deny"}


# The rules.

ALL: Final = "arn:aws:s3:::b/*"
LIST: Final = {"StringLike": {"s3:prefix": ["p/*", ""]}}
CASES: Final[dict[str, tuple[bool, list[Policy], Need]]] = {
    "nothing says so": (False, one(), need("s3:GetObject", "b/k")),
    "it is said": (True, one(allow("s3:GetObject", ALL)), need("s3:GetObject", "b/k")),
    "actions have no case": (True, one(allow("S3:getobject", ALL)), need("s3:GetObject", "b/k")),
    "resources have": (False, one(allow("s3:GetObject", "arn:aws:s3:::b/K")), need("s3:GetObject", "b/k")),
    "another action": (False, one(allow("s3:GetObject", ALL)), need("s3:GetObjectVersion", "b/k")),
    "any action": (True, one(allow("s3:Get*", ALL)), need("s3:GetObjectVersion", "b/k")),
    "an object is not its bucket": (False, one(allow("s3:ListBucket", ALL)), need("s3:ListBucket", "b")),
    "a star crosses slashes": (True, one(allow("s3:GetObject", "arn:aws:s3:::b/*/z")), need("s3:GetObject", "b/x/y/z")),
    "and is no prefix": (False, one(allow("s3:GetObject", "arn:aws:s3:::b/a")), need("s3:GetObject", "b/ab")),
    "a question mark is one": (True, one(allow("s3:GetObject", "arn:aws:s3:::b/?")), need("s3:GetObject", "b/k")),
    "no more": (False, one(allow("s3:GetObject", "arn:aws:s3:::b/?")), need("s3:GetObject", "b/kk")),
    "dots are dots": (False, one(allow("s3:GetObject", "arn:aws:s3:::b/a.c")), need("s3:GetObject", "b/abc")),
    "line ends are text": (True, one(allow("s3:GetObject", ALL)), need("s3:GetObject", "b/a\nb")),
    "one of several": (True, one(allow(["s3:A", "s3:B"], ["arn:aws:s3:::x", "arn:aws:s3:::y"])), need("s3:B", "y")),
    "a deny wins": (False, one(allow("s3:*", "*"), deny("s3:GetObject", ALL)), need("s3:GetObject", "b/k")),
    "whatever the order": (False, one(deny("s3:GetObject", ALL), allow("s3:*", "*")), need("s3:GetObject", "b/k")),
    "where it fits": (True, one(allow("s3:*", "*"), deny("s3:GetObject", ALL)), need("s3:GetObject", "c/k")),
    "a prefix that fits": (
        True,
        one(allow("s3:ListBucket", "*", Condition=LIST)),
        need("s3:ListBucket", "b", s3__prefix="p/x"),
    ),
    "one that does not": (
        False,
        one(allow("s3:ListBucket", "*", Condition=LIST)),
        need("s3:ListBucket", "b", s3__prefix="q/"),
    ),
    "no prefix at all": (False, one(allow("s3:ListBucket", "*", Condition=LIST)), need("s3:ListBucket", "b")),
    "no prefix, if it exists": (
        True,
        one(allow("s3:ListBucket", "*", Condition={"StringLikeIfExists": {"s3:prefix": "p/*"}})),
        need("s3:ListBucket", "b"),
    ),
    "all conditions must hold": (
        False,
        one(allow("s3:A", "*", Condition={"StringEquals": {"s3:x": "1"}, "Null": {"s3:y": "true"}})),
        need("s3:A", "b", s3__x="1", s3__y="2"),
    ),
    "none there": (
        True,
        one(allow("s3:A", "*", Condition={"StringEquals": {"s3:x": "1"}, "Null": {"s3:y": "true"}})),
        need("s3:A", "b", s3__x="1"),
    ),
    "a truth": (
        False,
        one(allow("s3:*", "*"), deny("s3:*", "*", Condition={"Bool": {"aws:SecureTransport": "false"}})),
        need("s3:A", "b", aws__SecureTransport="false"),
    ),
}


@pytest.mark.parametrize(("allowed", "given_policies", "asked"), CASES.values(), ids=CASES)
def test_what_a_policy_allows(allowed: bool, given_policies: list[Policy], asked: Need) -> None:  # noqa: FBT001 - a table's column
    assert allowed == bool(granting(given_policies, asked))


@pytest.mark.parametrize(
    "statement",
    [
        {"Sid": "x", "Effect": "Allow", "NotAction": "s3:*", "Action": "s3:A", "Resource": "*"},
        {"Sid": "x", "Effect": "Perhaps", "Action": "s3:A", "Resource": "*"},
        allow("s3:A", "*", Condition={"NumericLessThan": {"s3:max-keys": "10"}}),
    ],
    ids=["NotAction", "an effect", "a condition's operator"],
)
def test_what_is_not_understood_is_refused(statement: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not understood here|an effect is"):
        one(statement)


def test_a_policy_variable_is_refused_and_so_is_another_version() -> None:
    with pytest.raises(ValueError, match="policy variables"):
        granting(one(allow("s3:A", "arn:aws:s3:::${aws:username}")), need("s3:A", "b"))
    with pytest.raises(ValueError, match="version"):
        Policy.of("p", {"Version": "2008-10-17", "Statement": []})


def fits(pattern: str, text: str) -> bool:
    """Say whether wildcards fit, one character at a time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return fits(pattern[1:], text) or (bool(text) and fits(pattern, text[1:]))
    return bool(text) and pattern[0] in {"?", text[0]} and fits(pattern[1:], text[1:])


@given(st.text("ab/*?.", max_size=6), st.text("ab/.\n", max_size=6))
def test_wildcards_mean_what_iam_says(pattern: str, text: str) -> None:
    assert fits(pattern, text) == bool(granting(one(allow("s3:A", f"arn:aws:s3:::{pattern}")), need("s3:A", text)))


STATEMENTS: Final = st.builds(
    lambda effect, action, resource: {**allow(action, resource), "Effect": effect},
    st.sampled_from(["Allow", "Deny"]),
    st.sampled_from(["s3:A", "s3:B", "s3:*"]),
    st.sampled_from(["arn:aws:s3:::a", "arn:aws:s3:::b", "*"]),
)


@given(st.lists(STATEMENTS, max_size=5), st.sampled_from(["s3:A", "s3:B"]), st.sampled_from(["a", "b"]))
def test_another_allow_takes_nothing_and_another_deny_gives_nothing(
    statements: list[dict[str, Any]], action: str, place: str
) -> None:
    asked = need(action, place)
    before = bool(granting(one(*statements), asked))
    assert before <= bool(granting(one(*statements, allow("s3:A", "*")), asked)) or bool(
        denying(one(*statements), asked)
    )
    assert bool(granting(one(*statements, deny("s3:A", "*")), asked)) <= before


# The documents.


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_role_is_given_single_actions_on_named_resources(name: str) -> None:
    for statement in document(name)["Statement"]:
        assert [] == [action for action in listed(statement["Action"]) if not re.fullmatch(r"(s3|sqs):\w+", action)]
        for resource in listed(statement["Resource"]):
            assert re.match(r"arn:\$\{Partition\}:(s3:::|sqs:\$\{Region\}:\$\{Account\}:)\$\{\w+\}", resource), resource


@pytest.mark.parametrize("name", [*IDENTITIES, *OF_BUCKETS])
def test_a_statement_has_a_name_of_its_own_and_says_nothing_twice(name: str) -> None:
    statements = document(name)["Statement"]
    assert len(statements) == len({statement["Sid"] for statement in statements})
    assert [] == [statement["Sid"] for statement in statements if not statement["Sid"].isalnum()]
    for statement in statements:
        for part in ("Action", "Resource"):
            assert len(listed(statement[part])) == len(set(listed(statement[part])))


def size(name: str, *, of_a_name: int) -> int:
    """Return how IAM counts a policy: without white space, filled in with names of so many characters."""
    known = {"Partition": "aws-us-gov", "Region": "us-gov-west-1", "Account": "1" * 12}
    values = dict.fromkeys(NAMES, "n" * of_a_name) | known
    return len(re.sub(r"\s", "", Template((FOLDER / name).read_text()).substitute(values)))


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_policy_fits_a_role_even_with_the_longest_names(name: str) -> None:
    assert size(name, of_a_name=63) <= INLINE_LIMIT


@pytest.mark.parametrize("role", ATTACHED)
def test_a_roles_policies_fit_it_together(role: str) -> None:
    assert sum(size(name, of_a_name=32) for name in ATTACHED[role]) <= INLINE_LIMIT


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_lanes_are_twins(name: str) -> None:
    """What may be done with the live lane's queues may be done with the backfill lane's, and the other way round."""
    for statement in document(name)["Statement"]:
        resources = {resource for resource in listed(statement["Resource"]) if ":sqs:" in resource}
        live, backfill = ({it for it in resources if lane in it} for lane in ("${Live", "${Backfill"))
        assert live == {it.replace("${Backfill", "${Live") for it in backfill}
        assert live | backfill == resources


NEVER: Final[dict[str, Iterable[Need]]] = {
    "inline": [
        need("s3:DeleteObject", "silver/silver/people/part-1.parquet"),
        need("s3:DeleteObject", "destination/10/attachments/a.pdf"),
        need("s3:DeleteObject", "control/pipeline/runs/r/done/0"),
        *(need(f"s3:{action}", "source/10/a.pdf") for action in ("PutObject", "DeleteObject")),
    ],
    "controller": [
        need("s3:DeleteObject", "silver/silver/people/part-1.parquet"),
        need("s3:DeleteObject", "silver/silver/people/_delta_log/00000000000000000001.json"),
        need("s3:DeleteObject", "destination/catalog.json"),
        need("s3:DeleteObject", "control/pipeline/runs/r/done/0"),
        need("s3:DeleteObject", "control/pipeline/runs/r/dead/0.json"),
        need("s3:PutObject", "control/pipeline/runs/r/failed/0/1.json"),
        need("s3:PutObject", "destination/10/attachments/a.pdf"),
        need("s3:PutObject", "source/10/a.pdf"),
        *(need("sqs:DeleteMessage", queue) for queue in QUEUES),
        need("sqs:ReceiveMessage", "live"),
        need("sqs:SendMessage", "live-dlq"),
    ],
    "worker": [
        need("s3:DeleteObject", "silver/silver/people/part-1.parquet"),
        need("s3:DeleteObject", "destination/10/attachments/a.pdf"),
        need("s3:DeleteObject", "control/pipeline/runs/r/done/0"),
        need("s3:DeleteObject", "source/10/a.pdf"),
        need("s3:PutObject", "source/10/a.pdf"),
        need("s3:PutObject", "silver/silver/people/_delta_log/00000000000000000001.json"),
        need("s3:PutObject", "silver/silver/people/_manifest.json"),
        need("s3:PutObject", "silver/silver/_contracts/people/0.odcs.yaml"),
        need("s3:PutObject", "destination/catalog.json"),
        need("s3:PutObject", "destination/10/manifest/0.ndjson"),
        need("s3:PutObject", "control/pipeline/runs/r/run.json"),
        need("s3:PutObject", "control/pipeline/runs/r/manifest.json"),
        need("s3:PutObject", "control/pipeline/runs/r/_SUCCESS"),
        need("s3:PutObject", "control/pipeline/runs/r/report.json"),
        need("sqs:SendMessage", "live"),
        *(need(f"sqs:{action}", "live-dlq") for action in ("ReceiveMessage", "DeleteMessage")),
    ],
    "operator": [
        need("s3:DeleteObject", "control/pipeline/runs/r/done/0"),
        need("s3:DeleteObject", "control/pipeline/runs/r/failed/0/1.json"),
        need("s3:PutObject", "control/pipeline/runs/r/done/0"),
        need("s3:PutObject", "control/pipeline/runs/r/run.json"),
        *(need("s3:GetObject", f"{bucket}/10/a.pdf") for bucket in ("source", "destination", "silver")),
        *(need("s3:ListBucket", bucket) for bucket in ("source", "destination", "silver")),
        *(need(f"sqs:{action}", "live") for action in ("ReceiveMessage", "DeleteMessage")),
        need("sqs:SendMessage", "live-dlq"),
    ],
    "monitor": [
        *(need(f"s3:{action}", "control/pipeline/runs/r/run.json") for action in ("GetObject", "PutObject")),
        *(need("s3:ListBucket", bucket) for bucket in ("control", "source", "destination", "silver")),
        *(need(f"sqs:{action}", queue) for action in ("DeleteMessage", "SendMessage") for queue in QUEUES),
        *(need("sqs:ChangeMessageVisibility", queue) for queue in QUEUES),
        *(need("sqs:ReceiveMessage", queue) for queue in ("live", "backfill")),
    ],
    "tables": [
        need("s3:DeleteObject", "control/pipeline/runs/r/done/0"),
        need("s3:DeleteObject", "silver/silver/_contracts/people/0.odcs.yaml"),
        need("s3:DeleteObject", "silver/silver/_releases/people/0.parquet"),
        need("s3:DeleteObject", "silver/silver/_profiles/people/part-0.zst"),
        need("s3:DeleteObject", "silver/silver/people/_manifest.json"),
        need("s3:DeleteObject", "silver/others/people/part-1.parquet"),
        *(need("sqs:GetQueueAttributes", queue) for queue in QUEUES),
    ],
    "doctor": [
        need("s3:DeleteObject", "control/pipeline/runs/r/run.json"),
        need("s3:PutObject", "control/pipeline/runs/r/run.json"),
        need("s3:PutObject", "silver/silver/people/part-1.parquet"),
        need("s3:PutObject", "source/10/a.pdf"),
        *(need(f"sqs:{action}", queue) for action in ("ReceiveMessage", "SendMessage") for queue in QUEUES),
    ],
    "keda": [
        need("sqs:GetQueueUrl", "live"),
        need("sqs:ReceiveMessage", "live"),
        need("sqs:GetQueueAttributes", "live-dlq"),
        need("s3:ListBucket", "control"),
    ],
}
ADMINISTRATION: Final = (
    *("s3:CreateBucket", "s3:DeleteBucket", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketVersioning"),
    *("s3:PutLifecycleConfiguration", "s3:PutBucketAcl", "s3:PutObjectAcl", "s3:DeleteObjectVersion"),
    *("sqs:CreateQueue", "sqs:DeleteQueue", "sqs:PurgeQueue", "sqs:SetQueueAttributes", "sqs:AddPermission"),
)
PLACES: Final = {
    "s3": ("control", "source", "destination", "silver", "control/pipeline/runs/r/done/0", "silver/silver/k"),
    "sqs": QUEUES,
}
NOBODY: Final = [
    *(need(action, place) for action in ADMINISTRATION for place in PLACES[action.partition(":")[0]]),
    need("s3:GetObject", "another/k"),
    need("s3:ListBucket", "control-2"),
    need("sqs:ReceiveMessage", "live-2"),
    need("iam:PassRole", "arn:aws:iam::000000000000:role/admin"),
    need("sts:AssumeRole", "arn:aws:iam::000000000000:role/admin"),
]


@pytest.mark.parametrize("role", ATTACHED)
def test_a_role_may_never(role: str) -> None:
    """All of a role's policies together: the page attaches them so, as `test_aws_documents` sees."""
    assert [] == [asked for asked in (*NEVER[role], *NOBODY) if granting(policies(role), asked)]


SEGMENTS: Final = st.sampled_from(["a", "manifest", "catalog.json", "attachments", "employment_history", "."])


@given(st.lists(SEGMENTS, max_size=3).map("/".join), SEGMENTS)
@example("a/attachments", "a")
@example("a", "attachments")
def test_a_worker_writes_attachments_of_any_name_and_neither_catalog_nor_manifest(prefix: str, agency_id: str) -> None:
    """No Deny could tell a catalog below `a/attachments` from an attachment of agency `a`: no prefix may be that."""
    try:
        prefix = destination.clean_prefix(prefix)
    except ConfigError:
        return
    attachments = [
        destination.attachment_key(prefix, agency_id, name) for name in ("catalog.json", "manifest/0.ndjson")
    ]
    published = [destination.catalog_key(prefix), destination.content_key(prefix, agency_id, "manifest", "0", "ndjson")]
    assert [True, True, False, False] == [
        bool(granting(policies("worker"), need("s3:PutObject", f"destination/{key}")))
        for key in attachments + published
    ]


def test_an_operator_who_runs_the_doctor_is_lent_this_and_no_more() -> None:
    together = (*policies("operator"), *policies("doctor"))
    lent = [asked for asked in (*NEVER["operator"], *NOBODY) if granting(together, asked)]
    assert [
        *(need("s3:GetObject", f"{bucket}/10/a.pdf") for bucket in ("source", "destination")),
        *(need("s3:ListBucket", bucket) for bucket in ("source", "destination", "silver")),
        need("sqs:DeleteMessage", "live"),
    ] == lent


def test_keda_may_count_messages_and_nothing_else() -> None:
    assert [
        ("keda.json", "CountMessages", action_or_queue)
        for action_or_queue in (
            "sqs:GetQueueAttributes",
            "arn:aws:sqs:eu-central-1:000000000000:live",
            "arn:aws:sqs:eu-central-1:000000000000:backfill",
        )
    ] == [part for policy in policies("keda") for part in policy.allowed()]


@pytest.mark.parametrize("bucket", ["control", "destination", "silver"])
@pytest.mark.parametrize("place", ["", "/k"])
def test_a_bucket_refuses_what_does_not_come_over_tls(bucket: str, place: str) -> None:
    plain, secure = (need("s3:ListBucket", bucket + place, aws__SecureTransport=said) for said in ("false", "true"))
    assert ([True, False]) == [bool(denying(policies("controller"), asked)) for asked in (plain, secure)]


CREATED_ONCE: Final = {
    "control/pipeline/runs/r/done/0": True,
    "control/pipeline/runs/r/run.json": False,
    "control/pipeline/runs/r/dead/0.json": False,
    "silver/silver/people/_delta_log/00000000000000000001.json": True,
    "silver/silver/people__files/_delta_log/00000000000000000001.json": True,
    "silver/silver/people/_delta_log/00000000000000000020.checkpoint.parquet": False,
    "silver/silver/people/_delta_log/_last_checkpoint": False,
    "silver/silver/people/part-1.parquet": False,
}


@pytest.mark.parametrize(("key", "once"), CREATED_ONCE.items(), ids=CREATED_ONCE)
def test_markers_and_log_entries_can_only_be_created(key: str, once: bool) -> None:  # noqa: FBT001 - a table's column
    whole = {"s3__ObjectCreationOperation": "true"}
    overwrite = need("s3:PutObject", key, **whole)
    create = Need(overwrite.action, overwrite.resource, (*overwrite.context, ("s3:if-none-match", "*")))
    part_of_an_upload = need("s3:PutObject", key, s3__ObjectCreationOperation="false")
    asked = (overwrite, create, part_of_an_upload)
    assert [once, False, False] == [bool(denying(policies("keda"), it)) for it in asked]

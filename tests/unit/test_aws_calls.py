"""Which permissions a request needs: one case for each kind of request that the product, or its libraries, can send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest
from harness.calls import Calls, Unmapped, needs_of
from harness.iam import Need
from harness.permissions import denials

from etl_core.testing.http_wire import Request, _Head

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE: Final = "arn:aws:sqs:eu-central-1:000000000000:q"
CREATES: Final = (("s3:ObjectCreationOperation", "true"),)
PREPARES: Final = (("s3:ObjectCreationOperation", "false"),)
DELETION: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Object><Key>a&amp;b</Key></Object><Object><Key>c</Key><VersionId>1</VersionId></Object><Quiet>true</Quiet></Delete>"
)


def request(line: str, headers: Mapping[str, str] | None = None, body: bytes = b"", role: str = "worker") -> Request:
    signed = f"AWS4-HMAC-SHA256 Credential={role}/20300131/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    return Request(_Head(f"{line} HTTP/1.1", list({"Authorization": signed, **(headers or {})}.items())), body)


def sqs(operation: str, **call: object) -> Request:
    return request("POST /", {"X-Amz-Target": f"AmazonSQS.{operation}"}, json.dumps(call).encode())


def objects(*needs: tuple[str, str]) -> list[Need]:
    return [Need(f"s3:{action}", f"arn:aws:s3:::{place}") for action, place in needs]


S3: Final[dict[str, tuple[Request, list[Need]]]] = {
    "get": (request("GET /b/k"), objects(("GetObject", "b/k"))),
    "get a version": (request("GET /b/k?versionId=1"), objects(("GetObjectVersion", "b/k"))),
    "head an odd key": (request("HEAD /b/a%2Bb%20%252F%3F.txt"), objects(("GetObject", "b/a+b %2F?.txt"))),
    "tags": (request("GET /b/k?tagging"), objects(("GetObjectTagging", "b/k"))),
    "a version's tags": (request("GET /b/k?tagging&versionId=1"), objects(("GetObjectVersionTagging", "b/k"))),
    "list": (
        request("GET /b?list-type=2&prefix=p%2F&max-keys=1&encoding-type=url"),
        [Need("s3:ListBucket", "arn:aws:s3:::b", (("s3:prefix", "p/"),))],
    ),
    "list all": (request("GET /b?list-type=2"), [Need("s3:ListBucket", "arn:aws:s3:::b", (("s3:prefix", ""),))]),
    "put": (request("PUT /b/k"), [Need("s3:PutObject", "arn:aws:s3:::b/k", CREATES)]),
    "create": (
        request("PUT /b/k", {"If-None-Match": "*"}),
        [Need("s3:PutObject", "arn:aws:s3:::b/k", (*CREATES, ("s3:if-none-match", "*")))],
    ),
    "compare and set": (
        request("PUT /b/k", {"If-Match": '"e"'}),
        [
            Need("s3:PutObject", "arn:aws:s3:::b/k", (*CREATES, ("s3:if-match", '"e"'))),
            Need("s3:GetObject", "arn:aws:s3:::b/k"),
        ],
    ),
    "copy": (
        request("PUT /b/k", {"x-amz-copy-source": "o/a%20b", "x-amz-tagging-directive": "COPY"}),
        [
            Need("s3:PutObject", "arn:aws:s3:::b/k", CREATES),
            *objects(("GetObject", "o/a b"), ("GetObjectTagging", "o/a b"), ("PutObjectTagging", "b/k")),
        ],
    ),
    "copy a version": (
        request("PUT /b/k", {"x-amz-copy-source": "/o/s?versionId=1"}),
        [
            Need("s3:PutObject", "arn:aws:s3:::b/k", CREATES),
            *objects(("GetObjectVersion", "o/s"), ("GetObjectVersionTagging", "o/s"), ("PutObjectTagging", "b/k")),
        ],
    ),
    "copy without tags": (
        request("PUT /b/k", {"x-amz-copy-source": "o/s", "x-amz-tagging-directive": "REPLACE"}),
        [Need("s3:PutObject", "arn:aws:s3:::b/k", CREATES), *objects(("GetObject", "o/s"))],
    ),
    "begin an upload with tags": (
        request("POST /b/k?uploads", {"x-amz-tagging": "a=b"}),
        [Need("s3:PutObject", "arn:aws:s3:::b/k", PREPARES), *objects(("PutObjectTagging", "b/k"))],
    ),
    "upload a part": (
        request("PUT /b/k?uploadId=u&partNumber=1"),
        [Need("s3:PutObject", "arn:aws:s3:::b/k", PREPARES)],
    ),
    "copy a part": (
        request("PUT /b/k?uploadId=u&partNumber=1", {"x-amz-copy-source": "o/s?versionId=1"}),
        [Need("s3:PutObject", "arn:aws:s3:::b/k", PREPARES), *objects(("GetObjectVersion", "o/s"))],
    ),
    "complete an upload": (
        request("POST /b/k?uploadId=u"),
        [Need("s3:PutObject", "arn:aws:s3:::b/k", CREATES)],
    ),
    "abort an upload": (request("DELETE /b/k?uploadId=u"), objects(("AbortMultipartUpload", "b/k"))),
    "delete": (request("DELETE /b/k"), objects(("DeleteObject", "b/k"))),
    "delete a version": (request("DELETE /b/k?versionId=1"), objects(("DeleteObjectVersion", "b/k"))),
    "delete many": (
        request("POST /b?delete", body=DELETION),
        objects(("DeleteObject", "b/a&b"), ("DeleteObjectVersion", "b/c")),
    ),
}
SQS: Final = {
    "SendMessage": "SendMessage",
    "SendMessageBatch": "SendMessage",
    "ReceiveMessage": "ReceiveMessage",
    "DeleteMessage": "DeleteMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibility": "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "GetQueueAttributes": "GetQueueAttributes",
}


@pytest.mark.parametrize(("asked", "needs"), S3.values(), ids=S3)
def test_a_request_to_s3_needs(asked: Request, needs: list[Need]) -> None:
    assert needs == list(needs_of(asked))


@pytest.mark.parametrize(("operation", "action"), SQS.items(), ids=SQS)
def test_a_request_to_sqs_needs_the_single_action_even_for_a_batch(operation: str, action: str) -> None:
    asked = sqs(operation, QueueUrl="http://127.0.0.1:4566/000000000000/q")
    assert [Need(f"sqs:{action}", QUEUE)] == list(needs_of(asked))


def test_a_queue_is_looked_up_by_its_name() -> None:
    assert [Need("sqs:GetQueueUrl", QUEUE)] == list(needs_of(sqs("GetQueueUrl", QueueName="q")))


def test_to_hear_that_a_key_is_missing_one_must_be_allowed_to_list_without_any_prefix() -> None:
    assert objects(("ListBucket", "b")) == list(needs_of(request("HEAD /b/k"), is_missing=True))


def test_to_hear_that_a_copys_source_is_missing_one_must_be_allowed_to_list_both_buckets() -> None:
    copy = request("PUT /b/k", {"x-amz-copy-source": "o/s"})
    assert objects(("ListBucket", "b"), ("ListBucket", "o")) == sorted(needs_of(copy, is_missing=True))


@pytest.mark.parametrize(
    "strange",
    [
        request("GET /"),
        request("GET /b?policy"),
        request("PUT /b"),
        request("DELETE /b"),
        request("GET /b/k?acl"),
        request("PUT /b/k?tagging"),
        request("PUT /b/k", {"x-amz-acl": "public-read"}),
        request("POST /b/k?restore"),
        sqs("PurgeQueue", QueueUrl="http://127.0.0.1:4566/000000000000/q"),
        sqs("SetQueueAttributes", QueueUrl="http://127.0.0.1:4566/000000000000/q"),
    ],
    ids=lambda strange: f"{strange.method} {strange.target} {strange.operation or ''}",
)
def test_a_request_that_nobody_has_mapped_is_no_request_that_needs_nothing(strange: Request) -> None:
    with pytest.raises(Unmapped):
        list(needs_of(strange))


def test_a_denial_names_role_action_resource_and_policy() -> None:
    calls = Calls({"silver-1": "silver"})
    calls.hear(request("DELETE /silver-1/silver/people/part-1"))
    calls.hear(request("GET /silver-1/silver/people/part-1"))
    assert [
        "worker may not s3:DeleteObject on arn:aws:s3:::silver/silver/people/part-1: not in docs/aws/worker.json"
    ] == denials(calls)


def test_a_marker_that_is_not_created_is_forbidden_by_its_bucket() -> None:
    calls = Calls({"c-1": "control"})
    calls.hear(request("PUT /c-1/pipeline/runs/r/done/0"))
    (denial,) = denials(calls)
    assert denial.endswith("forbidden by docs/aws/bucket-control.json CreateMarkersOnce")


def test_what_is_not_mapped_not_signed_or_another_buckets_is_denied() -> None:
    calls = Calls({"silver-1": "silver"})
    calls.hear(request("GET /b?policy"))
    calls.hear(Request(_Head("GET /silver-1/k HTTP/1.1", []), b""))
    calls.hear(request("GET /silver-2/silver/people/part-1"))
    assert [
        "not mapped to a permission: a bucket's operation: GET /b?policy ",
        "not mapped to a permission: not signed by a role: GET /silver-1/k ",
        "worker may not s3:GetObject on arn:aws:s3:::silver-2/silver/people/part-1: not in docs/aws/worker.json",
    ] == denials(calls)


def test_a_role_that_nobody_knows_may_do_nothing() -> None:
    calls = Calls({"silver-1": "silver"})
    calls.hear(request("GET /silver-1?list-type=2", role="test"))
    assert 1 == len(denials(calls))

"""What AWS would ask of a request: the permissions that it needs, and of whom.

The actions are those of the service authorization reference and of each operation's page in the API references of S3
and SQS. Whose request it is says its access key, as for AWS itself: each role of a scenario has its own name for one.
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

from harness.iam import Need

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from etl_core.testing.http_wire import Request

ACCOUNT: Final = "000000000000"
REGION: Final = "eu-central-1"
"""What stands for every account and region: a policy's ARNs have them, and the local endpoint's are no one's."""

_SIGNED: Final = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/(s3|sqs)/aws4_request")
_SQS_ACTIONS: Final = {
    "ChangeMessageVisibility": "sqs:ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "DeleteMessage": "sqs:DeleteMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "GetQueueUrl": "sqs:GetQueueUrl",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "SendMessage": "sqs:SendMessage",
    "SendMessageBatch": "sqs:SendMessage",
}
_LISTING: Final = frozenset(
    {
        "list-type",
        "prefix",
        "delimiter",
        "max-keys",
        "start-after",
        "continuation-token",
        "encoding-type",
        "fetch-owner",
        "marker",
    }
)
_OBJECT_QUERY: Final = frozenset({"versionId", "partNumber", "uploadId", "uploads", "tagging"})
_REFUSED_HEADERS: Final = ("x-amz-acl", "x-amz-grant-", "x-amz-object-lock-", "x-amz-website-", "x-amz-storage-class")
"""Headers that need permissions, or cost, of their own: no request of ours has one."""


class Unmapped(Exception):  # noqa: N818 - named for what the request is
    """A request of which this module does not know what AWS would ask."""


class Calls:
    """The permissions that requests have needed, each once, by role; heard in any thread."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """``names`` says what each bucket and queue of this scenario is; it may grow."""
        self._names = names
        self._lock = threading.Lock()
        self._needs: dict[tuple[str, Need], None] = {}
        self._unmapped: list[str] = []

    def hear(self, request: Request, *, is_missing: bool = False) -> None:
        """Note a request, or that it was answered with: there is no such thing."""
        try:
            role, needs = _role(request), list(needs_of(request, is_missing=is_missing))
        except Unmapped as unmapped:
            with self._lock:
                self._unmapped.append(f"{unmapped}: {request.method} {request.target} {request.operation or ''}")
            return
        with self._lock:
            self._needs.update({(role, self._named(need)): None for need in needs})

    def needs(self) -> list[tuple[str, Need]]:
        """Return each role with each of its needs, sorted."""
        with self._lock:
            return sorted(self._needs)

    def unmapped(self) -> list[str]:
        with self._lock:
            return list(self._unmapped)

    def _named(self, need: Need) -> Need:
        """Return it with what the bucket or queue is in place of its name; a stranger's name stays."""
        start, slash, key = need.resource.partition("/")
        service, _, name = start.rpartition(":")
        return Need(need.action, f"{service}:{self._names.get(name, name)}{slash}{key}", need.context)


def _role(request: Request) -> str:
    signed = _SIGNED.search(request.headers.get("authorization", ""))
    if not signed:
        raise Unmapped("not signed by a role")
    return signed[1]


def needs_of(request: Request, *, is_missing: bool = False) -> Iterator[Need]:
    """Yield what the request needs; with ``is_missing``, what it needs to be told so: else S3 answers 403 for 404."""
    if request.operation or request.target == "/":
        yield _of_sqs(request)
        return
    url = urlsplit(request.target)
    bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    if not bucket:
        raise Unmapped("a request about no bucket")
    if refused := [name for name in request.headers if name.startswith(_REFUSED_HEADERS)]:
        raise Unmapped(f"headers {', '.join(refused)}")
    if is_missing:
        yield from (Need("s3:ListBucket", f"arn:aws:s3:::{name}") for name in {bucket, *_source_bucket(request)})
    elif key:
        yield from _of_object(request, f"arn:aws:s3:::{bucket}/{key}", query)
    else:
        yield from _of_bucket(request, bucket, query)


def _of_sqs(request: Request) -> Need:
    operation = request.operation
    if operation not in _SQS_ACTIONS:
        raise Unmapped(f"SQS's operation {operation}")
    call = json.loads(request.body)
    queue = call.get("QueueName") or call["QueueUrl"].rpartition("/")[2]
    return Need(_SQS_ACTIONS[operation], f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")


def _of_bucket(request: Request, bucket: str, query: Mapping[str, str]) -> Iterator[Need]:
    arn = f"arn:aws:s3:::{bucket}"
    if request.method == "GET" and set(query) <= _LISTING:
        yield Need("s3:ListBucket", arn, (("s3:prefix", query.get("prefix", "")),))
    elif request.method == "POST" and set(query) == {"delete"}:
        for entry in (entry for entry in ET.fromstring(request.body).iter() if entry.tag.endswith("Object")):  # noqa: S314 - our own request
            parts = {part.tag.rpartition("}")[2]: part.text or "" for part in entry}
            yield Need("s3:DeleteObjectVersion" if "VersionId" in parts else "s3:DeleteObject", f"{arn}/{parts['Key']}")
    else:
        raise Unmapped("a bucket's operation")


def _of_object(request: Request, arn: str, query: Mapping[str, str]) -> Iterator[Need]:
    if strange := set(query) - _OBJECT_QUERY:
        raise Unmapped(f"an object's operation: {', '.join(sorted(strange))}")
    version = "Version" if "versionId" in query else ""
    match request.method, sorted(set(query) - {"versionId", "partNumber"}):
        case "GET" | "HEAD", []:
            yield Need(f"s3:GetObject{version}", arn)
        case "GET", ["tagging"]:
            yield Need(f"s3:GetObject{version}Tagging", arn)
        case "DELETE", []:
            yield Need(f"s3:DeleteObject{version}", arn)
        case "DELETE", ["uploadId"]:
            yield Need("s3:AbortMultipartUpload", arn)
        case "PUT", []:
            yield from _of_writing(request, arn, "PutObject")
        case "PUT", ["uploadId"]:
            yield from _of_writing(request, arn, "UploadPart")
        case "POST", ["uploads"]:
            yield from _of_writing(request, arn, "CreateMultipartUpload")
        case "POST", ["uploadId"]:
            yield from _of_writing(request, arn, "CompleteMultipartUpload")
        case _:
            raise Unmapped("an object's operation")


def _of_writing(request: Request, arn: str, operation: str) -> Iterator[Need]:
    """Yield what writing needs, from a body or from another object: S3's page *CopyObject*, its permissions."""
    headers = request.headers
    context = [("s3:ObjectCreationOperation", str(operation in {"PutObject", "CompleteMultipartUpload"}).lower())]
    context += [(f"s3:{name}", headers[name]) for name in ("if-match", "if-none-match") if name in headers]
    yield Need("s3:PutObject", arn, tuple(context))
    if "if-match" in headers:
        yield Need("s3:GetObject", arn)  # comparing with what is there is reading it
    if headers.get("x-amz-tagging"):
        yield Need("s3:PutObjectTagging", arn)
    if source := headers.get("x-amz-copy-source"):
        path, _, query = source.partition("?")
        version = "Version" if "versionId" in parse_qs(query) else ""
        origin = f"arn:aws:s3:::{unquote(path).removeprefix('/')}"
        yield Need(f"s3:GetObject{version}", origin)
        if operation == "PutObject" and headers.get("x-amz-tagging-directive", "COPY") == "COPY":
            yield Need(f"s3:GetObject{version}Tagging", origin)
            yield Need("s3:PutObjectTagging", arn)


def _source_bucket(request: Request) -> Iterable[str]:
    source = unquote(request.headers.get("x-amz-copy-source", "")).removeprefix("/").partition("/")[0]
    return [source] if source else []

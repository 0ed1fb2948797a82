from __future__ import annotations

import traceback
from datetime import timedelta

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore import exceptions as boto
from botocore.exceptions import ClientError

from etl_core.aws import AwsClients, translate, translated, without_userinfo
from etl_core.errors import (
    AccessDenied,
    Archived,
    ConfigError,
    Conflict,
    EtlError,
    InvalidData,
    NoSuchBucket,
    NotFound,
    Permanent,
    PreconditionFailed,
    ReplyLost,
    Throttled,
    Transient,
    Unreachable,
)

WHAT = "s3://bucket/key"


def answered(code: str, status: int = 400, **headers: str) -> ClientError:
    meta = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return ClientError({"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": meta}, "Op")  # type: ignore[typeddict-item] # the stubs want every field of a reply


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, NotFound),
        ("404", 404, NotFound),
        ("AccessDenied", 403, AccessDenied),
        ("403", 403, AccessDenied),
        ("PreconditionFailed", 412, PreconditionFailed),
        ("412", 412, PreconditionFailed),
        ("ConditionalRequestConflict", 409, Conflict),
        ("OperationAborted", 409, Conflict),
        ("InvalidObjectState", 403, Archived),
        ("SlowDown", 503, Throttled),
        ("503", 503, Throttled),
        ("ThrottlingException", 400, Throttled),
        ("RequestThrottled", 403, Throttled),
        ("OverLimit", 403, Throttled),
        ("InternalError", 500, Transient),
        ("SomethingNew", 502, Transient),
        ("RequestTimeout", 400, Transient),
        ("KeyTooLongError", 400, InvalidData),
        ("SomethingNew", 400, Permanent),
        ("NoSuchBucket", 404, NoSuchBucket),
        ("QueueDoesNotExist", 400, ConfigError),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, ConfigError),
        ("PermanentRedirect", 301, ConfigError),
        ("AuthorizationHeaderMalformed", 400, ConfigError),
        ("InvalidAccessKeyId", 403, ConfigError),
        ("SignatureDoesNotMatch", 403, ConfigError),
        ("ExpiredToken", 400, ConfigError),
        ("RequestTimeTooSkewed", 403, ConfigError),
    ],
)
def test_a_service_s_answer_has_one_meaning(code: str, status: int, kind: type[EtlError]) -> None:
    error = translate(answered(code, status), what=WHAT)
    assert kind is type(error)
    assert WHAT in str(error)
    assert code.rpartition(".")[2] in str(error)


def test_a_fault_that_only_a_person_can_mend_says_how() -> None:
    assert (
        f"{WHAT}: NoSuchBucket why (create the bucket or name another; check account and region)"
        == str(translate(answered("NoSuchBucket", 404), what=WHAT))
    )  # fmt: skip


def test_the_service_s_own_wish_for_a_pause_is_kept() -> None:
    error = translate(answered("SlowDown", 503, **{"retry-after": "7"}), what=WHAT)
    assert isinstance(error, Throttled)
    assert timedelta(seconds=7) == error.retry_after


def sdk(kind: type[boto.BotoCoreError], cause: BaseException | None = None) -> boto.BotoCoreError:
    return kind(endpoint_url="http://x", error=cause or "", proxy_url="http://p")


KEY = ConnectionKey("x", 80, is_ssl=False, ssl=False, proxy=None, proxy_auth=None, proxy_headers_hash=None)
REFUSED = aiohttp.ClientConnectorError(KEY, OSError(111, "refused"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sdk(boto.EndpointConnectionError, REFUSED), Unreachable),
        (sdk(boto.EndpointConnectionError), Unreachable),
        (sdk(boto.ConnectTimeoutError, aiohttp.ServerTimeoutError("connect")), Unreachable),
        (sdk(boto.ProxyConnectionError), Unreachable),
        (sdk(boto.EndpointConnectionError, aiohttp.ClientOSError(104, "reset by peer")), ReplyLost),
        (sdk(boto.ConnectionClosedError, aiohttp.ServerDisconnectedError()), ReplyLost),
        (sdk(boto.ReadTimeoutError, aiohttp.SocketTimeoutError()), ReplyLost),
        (sdk(boto.ResponseStreamingError, aiohttp.ClientPayloadError("short")), ReplyLost),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), ReplyLost),
        (aiohttp.ClientPayloadError("short"), ReplyLost),
        (TimeoutError(), ReplyLost),
        (boto.FlexibleChecksumError(error_msg="differs"), Transient),
        (boto.ParamValidationError(report="bad"), InvalidData),
        (boto.NoCredentialsError(), ConfigError),
        (boto.NoRegionError(), ConfigError),
        (boto.ProfileNotFound(profile="x"), ConfigError),
        (boto.BotoCoreError(), Permanent),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.__name__,
)
def test_a_fault_on_the_way_tells_whether_the_request_may_have_taken_effect(
    error: BaseException, kind: type[EtlError]
) -> None:
    assert kind is type(translate(error, what=WHAT))


def test_an_endpoint_that_is_down_is_named_with_the_variable_that_says_where() -> None:
    expected = f"{WHAT}: no connection to x:80 (is it up? AWS_ENDPOINT_URL says where, if it is set)"
    assert expected == str(translate(sdk(boto.EndpointConnectionError, REFUSED), what=WHAT))


def test_what_can_be_no_bucket_is_a_matter_of_configuration() -> None:
    report = 'Invalid bucket name "Bad Bucket!": Bucket name must match the regex "^[a-z]$"'
    error = translate(boto.ParamValidationError(report=report), what=WHAT)
    assert isinstance(error, ConfigError)
    assert (
        "'Bad Bucket!' can not be a bucket's name (name an existing bucket: 3 to 63 of a-z, 0-9, dots and dashes)"
        == str(error).removeprefix(f"{WHAT}: ")
    )  # fmt: skip


def test_the_sdk_s_error_stays_as_the_cause() -> None:
    vendor = answered("NoSuchKey", 404)
    with pytest.raises(NotFound) as failure, translated(WHAT):
        raise vendor
    assert vendor is failure.value.__cause__


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A machine without any AWS settings."""
    nothing = str(tmp_path_factory.mktemp("aws") / "none")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", nothing)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", nothing)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("_bare")
async def test_no_region_is_said_before_anything_is_called() -> None:
    with pytest.raises(ConfigError, match=r"no AWS region .*AWS_DEFAULT_REGION"):
        await AwsClients().s3()


@pytest.mark.usefixtures("_bare")
async def test_no_credentials_are_said_before_anything_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(ConfigError, match=r"no AWS credentials .*AWS_ACCESS_KEY_ID"):
        await AwsClients().sqs()


@pytest.mark.usefixtures("_bare")
async def test_an_unknown_profile_is_a_matter_of_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody"):
        await AwsClients().sqs()


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize("url", ["htp//user:PW@host", "http://user:PW#1@host", "http://[user:PW@host", "http://h:PW"])
async def test_an_endpoint_that_is_no_url_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name, value in {"DEFAULT_REGION": "us-east-1", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    clients = AwsClients()

    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL") as caught:
        await clients.s3()
    await clients.aclose()

    assert "PW" not in "".join(traceback.format_exception(caught.value, chain=False))
    assert caught.value.__suppress_context__


def test_a_password_in_a_url_is_not_shown() -> None:
    error = boto.EndpointConnectionError(endpoint_url="http://user:P@W@host:1/x")
    assert "http://host:1/x" in str(translate(error, what=WHAT))
    assert "W@" not in str(translate(error, what=WHAT))
    assert "http://host:1/x" == without_userinfo("http://user:PW@host:1/x")
    assert "http://host:1/a@b" == without_userinfo("http://host:1/a@b")

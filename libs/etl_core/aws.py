"""AWS clients, made on first use and shared, and the translation of everything they raise into `etl_core.errors`.

Region, credentials and endpoint are the SDK's own business (``AWS_DEFAULT_REGION``, ``AWS_PROFILE``,
``AWS_ENDPOINT_URL``, a role of the pod).
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aioboto3  # type: ignore[import-untyped] # it has no stubs; its clients are typed by types-aiobotocore
import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_sqs.client import SQSClient

VENDOR_ERRORS: Final = (BotoCoreError, ClientError, aiohttp.ClientError, OSError)
"""What a client may raise; asyncio's and the sockets' timeouts are OSErrors."""

_SET_REGION: Final = "set AWS_DEFAULT_REGION to the region it lives in"
_SET_ENDPOINT: Final = "set it (or AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_SQS) as in http://host:port, or unset it"
_SET_CREDENTIALS: Final = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the pod a role"
_RENEW_CREDENTIALS: Final = "the credentials are wrong or have expired: renew them"
_WAYS_OUT: Final = {
    "NoSuchBucket": "create the bucket or name another; check account and region",
    "InvalidBucketName": "name an existing bucket",
    "QueueDoesNotExist": "create the queue or name another; check account and region",
    "NonExistentQueue": "create the queue or name another; check account and region",
    "InvalidAddress": f"name a queue's URL or name; {_SET_REGION}",
    "PermanentRedirect": _SET_REGION,
    "301": _SET_REGION,
    "AuthorizationHeaderMalformed": _SET_REGION,
    "IllegalLocationConstraintException": _SET_REGION,
    "InvalidAccessKeyId": _RENEW_CREDENTIALS,
    "InvalidClientTokenId": _RENEW_CREDENTIALS,
    "UnrecognizedClientException": _RENEW_CREDENTIALS,
    "SignatureDoesNotMatch": _RENEW_CREDENTIALS,
    "InvalidSignatureException": _RENEW_CREDENTIALS,
    "InvalidToken": _RENEW_CREDENTIALS,
    "ExpiredToken": _RENEW_CREDENTIALS,
    "ExpiredTokenException": _RENEW_CREDENTIALS,
    "TokenRefreshRequired": _RENEW_CREDENTIALS,
    "MissingAuthenticationToken": _SET_CREDENTIALS,
    "RequestTimeTooSkewed": "set this machine's clock",
    "InvalidSecurity": _RENEW_CREDENTIALS,
}
_KINDS: Final[dict[type[EtlError], str]] = {
    NotFound: "NoSuchKey NoSuchVersion NotFound 404 MethodNotAllowed 405",  # 405: the version is a delete marker
    AccessDenied: "AccessDenied AccessDeniedException AllAccessDisabled Forbidden 403",
    PreconditionFailed: "PreconditionFailed 412",
    Conflict: "ConditionalRequestConflict OperationAborted",
    Archived: "InvalidObjectState",
    Throttled: "SlowDown Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException "
    "TooManyRequestsException RequestLimitExceeded BandwidthLimitExceeded OverLimit KmsThrottled "
    "KMS.ThrottlingException 429 503",
    # NoSuchUpload: the multipart upload was aborted or completed meanwhile; from its start it may succeed.
    Transient: "RequestTimeout 408 IncompleteBody BadDigest XAmzContentSHA256Mismatch NoSuchUpload",
    InvalidData: "KeyTooLongError MetadataTooLarge EntityTooLarge InvalidRequest",
}
_KIND_OF: Final = {code: kind for kind, codes in _KINDS.items() for code in codes.split()}

_UNUSABLE: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError), _SET_CREDENTIALS),
    ((boto.TokenRetrievalError, boto.NoAuthTokenError, boto.SSOError, boto.ProfileNotFound), _SET_CREDENTIALS),
    ((boto.NoRegionError, boto.InvalidRegionError, boto.UnknownRegionError), "set AWS_DEFAULT_REGION"),
    (
        (boto.EndpointProviderError, boto.InvalidEndpointConfigurationError),
        "set AWS_ENDPOINT_URL and AWS_DEFAULT_REGION",
    ),
    ((boto.ConfigParseError, boto.ConfigNotFound), "mend the SDK's configuration file"),
    ((aiohttp.ClientConnectorCertificateError,), "check AWS_ENDPOINT_URL, AWS_CA_BUNDLE and the server's certificate"),
)
_ON_THE_WIRE: Final[tuple[tuple[tuple[type[BaseException], ...], type[EtlError]], ...]] = (
    ((boto.ParamValidationError,), InvalidData),
    ((boto.FlexibleChecksumError, boto.ChecksumError), Transient),
    ((boto.ConnectionError,), Unreachable),  # the SDK's EndpointConnectionError, SSLError, ConnectTimeoutError ...
    ((aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError), Unreachable),
    ((boto.HTTPClientError, boto.IncompleteReadError, aiohttp.ClientError, OSError), ReplyLost),
)  # fmt: skip

_USERINFO: Final = re.compile(r"(?<=://)[^/\s]*@")
_BAD_BUCKET: Final = re.compile(r'Invalid bucket name "([^"]*)"')


class _SingleShotSession(AIOHTTPSession):
    """Sends each request once.

    Aiohttp itself repeats a PUT whose kept-alive connection dies, and no public switch stops it.
    """

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)  # type: ignore[misc] # not in its stubs
        # A contract test notices when this stops working.
        session._retry_connection = False  # noqa: SLF001 - no public switch
        return session


class AwsClients:
    """One S3 and one SQS client for a process; the constructor connects to nothing.

    ``read_timeout`` must exceed the longest long poll (20 s). ``endpoint_url`` overrides the SDK's own settings.
    """

    def __init__(
        self,
        *,
        endpoint_url: str | None = None,
        max_connections: int = 64,
        connect_timeout: timedelta = timedelta(seconds=5),
        read_timeout: timedelta = timedelta(seconds=60),
        attempts: int = 4,
    ) -> None:
        self._endpoint_url = endpoint_url
        self._attempts = attempts
        self._settings: dict[str, Any] = {
            "max_pool_connections": max_connections,
            "connect_timeout": connect_timeout.total_seconds(),
            "read_timeout": read_timeout.total_seconds(),
            # The SDK's default adds a CRC32 to every body, in chunks with a trailer, which costs a pass over the
            # bytes and which not every endpoint reads.
            # `objects.s3` sends a SHA-256 with every write instead, so that S3 both checks the body and can be asked
            # for the checksum later.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        self._session: Any = None
        self._stack = AsyncExitStack()
        self._making = asyncio.Lock()
        self._clients: dict[tuple[str, bool], Any] = {}

    async def describe(self) -> str:
        """Return where the clients go, without what a URL may hold of credentials."""
        meta = (await self.s3()).meta
        return f"region {meta.region_name}, S3 at {without_userinfo(meta.endpoint_url)}"

    async def s3(self, *, retries: bool = True) -> S3Client:
        """Return the S3 client; the one without ``retries`` sends each request exactly once (law 4)."""
        client: S3Client = await self._client("s3", retries=retries)
        return client

    async def sqs(self) -> SQSClient:
        """Return the SQS client."""
        client: SQSClient = await self._client("sqs", retries=True)
        return client

    async def storage_options(self) -> dict[str, str]:
        """Return what Rust's object_store (deltalake, Polars) needs to reach S3 as these clients do.

        Credentials expire: ask again for each use, and keep none.
        """
        client = await self.s3()
        with translated("S3"):
            keys = await (await self._session.get_credentials()).get_frozen_credentials()
        endpoint = client.meta.endpoint_url
        options = {
            "aws_access_key_id": keys.access_key,
            "aws_secret_access_key": keys.secret_key,
            "aws_region": client.meta.region_name,
            "aws_endpoint": endpoint,
            "aws_allow_http": str(endpoint.startswith("http://")).lower(),
            "aws_conditional_put": "etag",
        }
        return options | ({"aws_session_token": keys.token} if keys.token else {})

    async def aclose(self) -> None:
        """Close the connections."""
        self._clients.clear()
        await self._stack.aclose()

    async def _client(self, service: str, *, retries: bool) -> Any:  # noqa: ANN401 - made at run time
        async with self._making:
            if (service, retries) not in self._clients:
                with translated(service.upper()):
                    self._clients[service, retries] = await self._connect(service, retries=retries)
            return self._clients[service, retries]

    async def _connect(self, service: str, *, retries: bool) -> Any:  # noqa: ANN401 - see _client
        session = self._session = (
            self._session or aioboto3.Session()
        )  # it caches the services' models, megabytes of JSON
        if not session.region_name:
            raise ConfigError("no AWS region", where=service.upper(), way_out="set AWS_DEFAULT_REGION")
        if await session.get_credentials() is None:
            raise ConfigError("no AWS credentials", where=service.upper(), way_out=_SET_CREDENTIALS)
        once = {} if retries else {"http_session_cls": _SingleShotSession}
        config = AioConfig(
            retries={"mode": "standard", "total_max_attempts": self._attempts if retries else 1},
            **once,
            **self._settings,
        )
        client = session.client(service, endpoint_url=self._endpoint_url, config=config)
        try:
            made = await self._stack.enter_async_context(client)
            _ = urlsplit(made.meta.endpoint_url).port  # what is no port would be found at the first request only
        except BotoCoreError:
            raise
        except ValueError:
            # Without its cause: the SDK's message repeats the value, which may hold a password.
            raise ConfigError("it is no URL", where="AWS_ENDPOINT_URL", way_out=_SET_ENDPOINT) from None
        return made


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the SDK's errors inside the block into those of `etl_core.errors`, with the SDK's as their cause."""
    try:
        yield
    except VENDOR_ERRORS as error:
        raise translate(error, what=what) from error


def translate(error: BaseException, *, what: str) -> EtlError:
    """Return the error to raise for what the SDK raised about ``what``, such as ``s3://bucket/key``."""
    if isinstance(error, ClientError):
        return _of_reply(error, what)
    for kinds, way_out in _UNUSABLE:
        if isinstance(error, kinds):
            return ConfigError(without_userinfo(str(error)), where=what, way_out=way_out)
    if (cause := _cause(error)) is not None:
        return translate(cause, what=what)
    if isinstance(error, boto.ParamValidationError) and (name := _BAD_BUCKET.search(str(error))):
        way_out = "name an existing bucket: 3 to 63 of a-z, 0-9, dots and dashes"
        return ConfigError(f"{name[1]!r} can not be a bucket's name", where=what, way_out=way_out)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unreachable(
            f"{what}: no connection to {error.host}:{error.port} (is it up? AWS_ENDPOINT_URL says where, if it is set)"
        )
    kind = next((kind for kinds, kind in _ON_THE_WIRE if isinstance(error, kinds)), Permanent)
    return kind(f"{what}: {without_userinfo(str(error)) or type(error).__name__}")


def without_userinfo(text: str) -> str:
    """Return ``text``, a URL or a message with URLs in it, without the user and the password that these may hold."""
    return _USERINFO.sub("", text)


def _cause(error: BaseException) -> BaseException | None:
    """Return the transport's own error.

    The SDK calls every socket error EndpointConnectionError, also one after the request was sent.
    """
    if not isinstance(error, BotoCoreError) or isinstance(error, boto.ConnectTimeoutError):
        return None
    cause = error.kwargs.get("error")
    return cause if isinstance(cause, aiohttp.ClientError | OSError) else None


def _of_reply(error: ClientError, what: str) -> EtlError:
    """Translate an error that the service itself answered."""
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    meta: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
    code = str(details.get("Code", "")).removeprefix("AWS.SimpleQueueService.")
    status = int(meta.get("HTTPStatusCode", 0))
    text = f"{what}: {code} {details.get('Message', '')}".rstrip()
    if way_out := _WAYS_OUT.get(code):
        where = f"{what} (bucket {named})" if (named := details.get("BucketName")) and named not in what else what
        unusable = NoSuchBucket if code == "NoSuchBucket" else ConfigError
        return unusable(f"{code} {details.get('Message', '')}".rstrip(), where=where, way_out=way_out)
    kind = _KIND_OF.get(code) or (Transient if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Permanent)
    if issubclass(kind, Transient):
        return kind(text, retry_after=_retry_after(meta))
    return kind(text)


def _retry_after(meta: dict[str, Any]) -> timedelta | None:
    wish = str(meta.get("HTTPHeaders", {}).get("retry-after", ""))
    return timedelta(seconds=int(wish)) if wish.isdecimal() else None

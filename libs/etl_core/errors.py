"""Every error that crosses a module boundary.

    EtlError
    ├── ConfigError            the user must change something before a retry can help      exit code 2
    │   └── NoSuchBucket
    ├── Transient              the same call may succeed later
    │   ├── Throttled          the service asked for fewer requests
    │   ├── Conflict           another conditional write is in flight on the same key (409)
    │   ├── ReplyLost          the request may or may not have taken effect
    │   └── Unreachable        no connection: the request took no effect
    ├── Permanent              the same call fails for ever
    │   ├── NotFound
    │   ├── AccessDenied
    │   ├── PreconditionFailed a conditional request did not hold (412)
    │   ├── Archived           the object must be restored before it can be read
    │   └── InvalidData        the input itself is wrong
    └── LeaseLost              somebody else may hold this delivery now: stop, write nothing more

Adapters translate vendor errors into these and keep the vendor's error as ``__cause__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta


class EtlError(Exception):
    """Root of the tree. Its message carries ids and counts, never row values."""


class ConfigError(EtlError):
    """Settings, arguments or the environment are wrong; ``way_out`` says what to change."""

    def __init__(self, what: str, *, where: str = "", way_out: str = "") -> None:
        self.what, self.where, self.way_out = what, where, way_out
        super().__init__(what)

    def __str__(self) -> str:
        """Return one line: where, what, way out."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line} ({self.way_out})" if self.way_out else line


def check_all(*checks: Callable[[], object]) -> None:
    """Make every check, then raise what they found: one ConfigError that says all of it at once."""
    found: list[ConfigError] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        raise ConfigError("; ".join(str(error) for error in found))


class NoSuchBucket(ConfigError):  # noqa: N818 - see Transient
    """The named bucket does not exist; whoever copies from it may count its objects as missing."""


class Transient(EtlError):  # noqa: N818 - reads as what it is where it is raised: `raise Transient(...)`
    """The same call may succeed later; ``retry_after`` is the service's own wish, where it had one."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Throttled(Transient):
    """The service asked for fewer requests (503 SlowDown, ThrottlingException)."""


class Conflict(Transient):
    """Another conditional write is in flight on the same key (S3's 409 ConditionalRequestConflict)."""


class ReplyLost(Transient):
    """The request was sent but its reply was not read: it may or may not have taken effect."""


class Unreachable(Transient):
    """No connection could be made: the request took no effect."""


class Permanent(EtlError):  # noqa: N818 - see Transient
    """The same call fails for ever."""


class NotFound(Permanent):
    """The named object, bucket, queue or row does not exist."""


class AccessDenied(Permanent):
    """The credentials may not do this."""


class PreconditionFailed(Permanent):
    """A conditional request did not hold (412): a question to read back, not an answer."""


class Archived(Permanent):
    """The object is in an archive storage class and must be restored before it can be read."""


class InvalidData(Permanent):
    """The input itself is wrong; no retry mends it."""


class LeaseLost(EtlError):  # noqa: N818 - see Transient
    """Somebody else may hold this delivery now: stop, and write nothing more."""

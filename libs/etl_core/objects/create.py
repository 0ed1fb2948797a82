"""Create-only writes that know their own: a 412 or a lost reply is read back before anything is concluded from it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from etl_core.errors import NotFound, PreconditionFailed, ReplyLost, Transient
from etl_core.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_core.clock import Clock
    from etl_core.objects import ObjectStore

TRIES: Final = 6
BACKOFF: Final = Backoff(base=timedelta(milliseconds=100), cap=timedelta(seconds=2))
"""Six tries wait 1.6 s on average, 3.1 s at most: a short storm is ridden out here, a long one is the queue's."""


async def create_once(
    store: ObjectStore,
    key: str,
    body: bytes,
    *,
    is_own: Callable[[bytes], bool],
    clock: Clock,
    jitter: Callable[[], float],
) -> bool:
    """Create ``key`` and say whether what stands there now is ours (True) or another's (False).

    ``is_own`` looks at the body that was found; it must recognise this very write, so the body carries a nonce.
    Raises Transient after `TRIES` tries, when whether the key exists may be unknown; any other error at once.
    """
    for attempt in range(1, TRIES + 1):
        try:
            await store.put_if_absent(key, body)
        except (PreconditionFailed, ReplyLost) as error:
            fault: Exception = error
            try:
                return is_own((await store.get(key)).body)
            except NotFound:
                wish = (
                    None  # removed since, or the lost write never arrived: try again at once, as nobody is in the way
                )
            except Transient as unread:
                fault, wish = unread, unread.retry_after
        except Transient as error:
            fault, wish = error, error.retry_after
        else:
            return True
        if attempt < TRIES:
            await clock.sleep(max(BACKOFF.delay(attempt, jitter()), min(wish or timedelta(0), BACKOFF.cap)))
    raise Transient(f"could not write {key} in {TRIES} tries: {fault}") from fault

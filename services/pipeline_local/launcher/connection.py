"""Lets a request handler see that its client is gone: ministack's handlers get the request, not the connection."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_receive: ContextVar[Receive] = ContextVar("receive")


def exposing_connections(application: Application) -> Application:
    """Wrap an ASGI application so that `until_disconnect` works inside it."""

    async def wrapped(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        _receive.set(receive)
        await application(scope, receive, send)

    return wrapped


async def until_disconnect() -> None:
    """Return when the current request's client has closed its connection; call it once the body has been read."""
    receive = _receive.get(None)
    if receive is None:
        await asyncio.get_running_loop().create_future()
        return
    while (await receive())["type"] != "http.disconnect":
        pass

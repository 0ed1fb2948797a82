"""A proxy between the SDK and an S3 or SQS endpoint that goes wrong on demand.

    async with FaultProxy(upstream_url) as proxy:
        proxy.add(Rule(LoseReply(), method="PUT", headers={"if-none-match": ".*"}))
        clients = AwsClients(endpoint_url=proxy.url)

The Host header stays as the client sent it, so signatures stay valid. A test that blocks its loop, or has none,
uses `FaultProxy.in_thread`; child processes are given the proxy's URL.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from etl_core.testing.fault_rules import (
    Answer,
    ChangeHeaders,
    CutReply,
    Delay,
    FailEntries,
    Fault,
    LoseReply,
    RepeatReceive,
    Reset,
    Rule,
    Silence,
)
from etl_core.testing.http_wire import Reply, Request, read_reply, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_LIMIT: Final = 2**20
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER without time: closing sends RST


__all__ = [
    "Answer",
    "ChangeHeaders",
    "CutReply",
    "Delay",
    "FailEntries",
    "Fault",
    "FaultProxy",
    "LoseReply",
    "RepeatReceive",
    "Reset",
    "Rule",
    "Silence",
]


class FaultProxy:
    """Listens on a free port of the loopback while its context is open; the first rule that takes a request decides."""

    _loop: asyncio.AbstractEventLoop

    def __init__(self, upstream_url: str) -> None:
        upstream = urlsplit(upstream_url)
        self._upstream = (upstream.hostname or "127.0.0.1", upstream.port or 80)
        self._rules: list[Rule] = []
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._repeats: list[Reply] = []
        self._port = 0
        self.requests: list[Request] = []
        """Every request that came, in order; without its body."""

    @classmethod
    @contextmanager
    def in_thread(cls, upstream_url: str) -> Iterator[FaultProxy]:
        """Serve from another thread; `add` and `clear` work from any, `go_away` and `come_back` through `call`."""
        proxy, ready, stop = cls(upstream_url), threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with proxy:
                ready.set()
                await stop.wait()

        thread = threading.Thread(target=lambda: asyncio.run(serve()), name="fault-proxy")
        thread.start()
        ready.wait()
        try:
            yield proxy
        finally:
            proxy._loop.call_soon_threadsafe(stop.set)
            thread.join()

    @property
    def url(self) -> str:
        """Return the endpoint's URL for clients."""
        return f"http://127.0.0.1:{self._port}"

    def add(self, rule: Rule) -> Rule:
        """Add a rule, and return it for its ``hits``."""
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove every rule."""
        self._rules.clear()

    async def __aenter__(self) -> Self:
        """Start to listen."""
        self._loop = asyncio.get_running_loop()
        await self.come_back()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to listen, and end every connection."""
        await self.go_away()

    async def go_away(self) -> None:
        """Refuse new connections and reset the open ones: the service is down."""
        if self._server:
            self._server.close()
            self._server = None
        tasks = dict(self._open)
        for task, writer in tasks.items():
            _reset(writer)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def come_back(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, limit=_LIMIT)
        self._port = self._server.sockets[0].getsockname()[1]

    def call(self, name: str) -> None:
        """Run ``go_away`` or ``come_back`` of a proxy that serves from another thread, to its end."""
        asyncio.run_coroutine_threadsafe(getattr(self, name)(), self._loop).result()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after another."""
        try:
            with suppress(EOFError, OSError, asyncio.CancelledError):
                while True:
                    request = await read_request(reader, writer)
                    self.requests.append(replace(request, body=b""))
                    rule = next((rule for rule in self._rules if rule.takes(request)), None)
                    if not await self._answer(request, rule.fault if rule else None, reader, writer):
                        return
        finally:
            writer.close()

    async def _answer(
        self, request: Request, fault: Fault | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request, and say whether the connection lives on."""
        if isinstance(fault, Silence):
            await reader.read()
            return False
        reply = await self._reply(request, fault)
        if reply is None:
            _reset(writer)
            return False
        if isinstance(fault, CutReply):
            reply = replace(reply, body=reply.body[: fault.after_bytes])  # its Content-Length stays as it was
        writer.write(reply.encode())
        await writer.drain()
        return not isinstance(fault, CutReply)

    async def _reply(  # noqa: PLR0911 - one return a fault is what makes it readable
        self, request: Request, fault: Fault | None
    ) -> Reply | None:
        """Return what the client gets; None for no reply at all."""
        match fault:
            case Answer():
                return _error(request, fault)
            case Reset():
                return None
            case LoseReply():
                await self._forward(request)
                return None
            case Delay(duration=duration):
                await asyncio.sleep(duration.total_seconds())
            case FailEntries():
                return await self._fail_entries(request, fault)
            case ChangeHeaders(names=names, more=more):
                return (await self._forward(request)).changed(names, more)
            case None if request.operation == "ReceiveMessage" and self._repeats:
                return self._repeats.pop(0)
        reply = await self._forward(request)
        if isinstance(fault, RepeatReceive):
            self._repeats.append(reply)
        return reply

    async def _forward(self, request: Request) -> Reply:
        reader, writer = await asyncio.open_connection(*self._upstream, limit=_LIMIT)
        try:
            writer.write(request.encode())
            await writer.drain()
            return await read_reply(reader, request)
        finally:
            writer.close()

    async def _fail_entries(self, request: Request, fault: FailEntries) -> Reply:
        call: dict[str, Any] = json.loads(request.body)
        failing = [entry for i, entry in enumerate(call["Entries"]) if i in fault.positions]
        call["Entries"] = [entry for i, entry in enumerate(call["Entries"]) if i not in fault.positions]
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        if call["Entries"]:
            answer |= json.loads((await self._forward(replace(request, body=json.dumps(call).encode()))).body)
        outcome = {"Code": fault.code, "Message": "injected", "SenderFault": fault.sender_fault}
        answer["Failed"] = [*answer.get("Failed", []), *({"Id": entry["Id"], **outcome} for entry in failing)]
        return Reply.make(200, json.dumps(answer).encode(), ("Content-Type", "application/x-amz-json-1.0"))


def _error(request: Request, fault: Answer) -> Reply:
    """Return the error in the protocol of the service: JSON for SQS, XML for S3, nothing in answer to a HEAD."""
    if request.operation:
        body = json.dumps({"__type": f"com.amazonaws.sqs#{fault.code}", "message": fault.message})
        return Reply.make(fault.status, body.encode(), ("Content-Type", "application/x-amz-json-1.0"))
    text = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>"
    body = "" if request.method == "HEAD" else f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'
    return Reply.make(fault.status, body.encode(), ("Content-Type", "application/xml"))


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()

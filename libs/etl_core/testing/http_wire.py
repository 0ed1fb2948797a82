"""As much of HTTP/1.1 as a proxy for an SDK needs: whole requests and replies, with their heads kept as they came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "expect", "connection", "keep-alive"})


@dataclass(frozen=True, slots=True)
class _Head:
    first_line: str
    lines: Sequence[tuple[str, str]]

    @property
    def headers(self) -> dict[str, str]:
        """The headers by their names in lower case."""
        return {name.lower(): value for name, value in self.lines}

    def encode(self, *more: tuple[str, str]) -> bytes:
        kept = [line for line in self.lines if line[0].lower() not in _FRAMING]
        text = "\r\n".join([self.first_line, *(f"{name}: {value}" for name, value in (*kept, *more)), "", ""])
        return text.encode("latin-1")


@dataclass(frozen=True, slots=True)
class Request:
    """A request; ``target`` is exactly what was on the wire, still percent-encoded."""

    head: _Head
    body: bytes

    @property
    def method(self) -> str:
        """Return the method."""
        return self.head.first_line.split(" ")[0]

    @property
    def target(self) -> str:
        """Return path and query."""
        return self.head.first_line.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers by their names in lower case."""
        return self.head.headers

    @property
    def operation(self) -> str | None:
        """Return SQS's action, such as ``SendMessageBatch``; None for S3."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2] or None

    def encode(self) -> bytes:
        """Return the bytes to forward, on a connection for this request alone."""
        return self.head.encode(("Content-Length", str(len(self.body))), ("Connection", "close")) + self.body


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply; one to a HEAD has a length of its own and no body."""

    head: _Head
    body: bytes
    length: int

    @classmethod
    def make(cls, status: int, body: bytes, *headers: tuple[str, str]) -> Reply:
        """Return a reply of our own."""
        return cls(_Head(f"HTTP/1.1 {status} Injected", headers), body, len(body))

    @property
    def status(self) -> int:
        """Return the status."""
        return int(self.head.first_line.split(" ")[1])

    def changed(self, names: frozenset[str], more: Sequence[tuple[str, str]]) -> Reply:
        """Return the reply without the headers of these names, in lower case, and with ``more``."""
        kept = [line for line in self.head.lines if line[0].lower() not in names]
        return Reply(_Head(self.head.first_line, [*kept, *more]), self.body, self.length)

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return self.head.encode(("Content-Length", str(self.length))) + self.body


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    """Read one request; EOFError when the client has no more."""
    head = await _read_head(reader)
    if "expect" in head.headers:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(head, await _read_body(reader, head, default=0))


async def read_reply(reader: asyncio.StreamReader, request: Request) -> Reply:
    """Read the reply to ``request``."""
    head = await _read_head(reader)
    while head.first_line.split(" ")[1] == "100":
        head = await _read_head(reader)
    if request.method == "HEAD" or head.first_line.split(" ")[1] in {"204", "304"}:
        return Reply(head, b"", int(head.headers.get("content-length", "0")))
    body = await _read_body(reader, head, default=None)
    return Reply(head, body, len(body))


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first_line, *lines = raw[:-4].split("\r\n")
    return _Head(first_line, [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)])


async def _read_body(reader: asyncio.StreamReader, head: _Head, *, default: int | None) -> bytes:
    """Read the body; without any length, ``default`` bytes or, when that is None, until the end."""
    if head.headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    length = head.headers.get("content-length", default)
    return await reader.read() if length is None else await reader.readexactly(int(length))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return bytes(body)

"""``/healthz``, ``/readyz`` and ``/metrics``, from a thread of their own: they answer while the loop is busy."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final, Protocol, Self, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import make_wsgi_app

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIEnvironment

    from prometheus_client import CollectorRegistry

LOOP_PATIENCE: Final = 5.0
"""Seconds that the event loop may take for one turn before it counts as stuck."""

log = structlog.get_logger(__name__)


class Health(Protocol):
    """What is asked, on the event loop."""

    @property
    def is_alive(self) -> bool:
        """Say whether a restart would not help."""
        ...

    @property
    def is_ready(self) -> bool:
        """Say whether work is taken."""
        ...


class HealthServer:
    """Serves within its context. Port 0 takes a free one; `port` says which, and the log does.

    ``variable`` names the port's setting in an error.
    """

    def __init__(
        self, health: Health, registry: CollectorRegistry, *, host: str, port: int, variable: str = "health port"
    ) -> None:
        self._health = health
        self._metrics = make_wsgi_app(registry)
        self._host = host
        self._asked_port = port
        self._variable = variable
        self._server: WSGIServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return self._server.server_port if self._server else self._asked_port

    async def __aenter__(self) -> Self:
        """Listen; ConfigError when the port is taken."""
        self._loop = asyncio.get_running_loop()
        try:
            self._server = make_server(
                self._host, self._asked_port, self._answer, server_class=_Server, handler_class=_Silent
            )
        except OSError as error:
            raise ConfigError(
                f"can not listen on {self._host}:{self._asked_port}: {error.strerror}",
                where=self._variable,
                way_out="name a free port, or 0 for any",
            ) from error
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True).start()
        log.info("health.listening", host=self._host, port=self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._server:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/healthz":
                return _say(self._ask(lambda: self._health.is_alive), start_response)
            case "/readyz":
                return _say(self._ask(lambda: self._health.is_ready), start_response)
            case "/metrics":
                return cast("Iterable[bytes]", self._metrics(environ, start_response))
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/healthz, /readyz, /metrics\n"]

    def _ask(self, question: Callable[[], bool]) -> bool:
        """Ask on the event loop: a loop that does not turn says no."""
        answer: Future[bool] = Future()
        if self._loop is None or self._loop.is_closed():
            return False
        self._loop.call_soon_threadsafe(lambda: answer.set_result(question()))
        try:
            return answer.result(LOOP_PATIENCE)
        except FutureTimeoutError:
            return False


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: probes come every few seconds."""


def _say(is_fine: bool, start_response: StartResponse) -> Iterable[bytes]:  # noqa: FBT001 - private, and read at its calls
    start_response("200 OK" if is_fine else "503 Service Unavailable", [("Content-Type", "text/plain")])
    return [b"ok\n" if is_fine else b"no\n"]

"""The test Hub on loopback: a threaded HTTP server over a `Store`, with a log of requests and faults on order.

Written against huggingface_hub 2.4, transformers 5.23 and datasets 5.2. What it leaves out stands in `__init__.py`.
"""

import json
import re
import select
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from .faults import NO_FAULT, Fault, Faults
from .protocol import Answer, HubError, Request
from .repository import Repo
from .routes import dispatch
from .store import TOKENS, Store, User

_SILENT_SECONDS = 30.0
_DRIP_SECONDS = 0.05


class LoggedRequest(NamedTuple):
    """One line of the log. `status` is 0 where the connection was cut before an answer."""

    method: str
    target: str
    status: int
    with_token: bool = False


class HubServer:
    """A Hugging Face Hub in memory, on a free port of 127.0.0.1.

    Args:
        tokens (`Mapping[str, User]`, *optional*): Valid tokens. By default `"hf_user"` (writes to `user` and `org`),
            `"hf_reader"` (the same user, read-only) and `"hf_other"` (a stranger).

    Attributes:
        url (`str`): For `HF_ENDPOINT`.
        requests (`list[LoggedRequest]`): All requests since the last reset, in the order of their answers.
        faults (`Faults`): What is to go wrong next.
        errors (`list[Exception]`): Failures of this server or of a test's callback, each answered with 500. A test
            session should check that there are none.

    Example:
        ```python
        with HubServer() as hub:
            repo = hub.create_repo("user/tiny", {"config.json": b"{}"})
            hf_hub_download("user/tiny", "config.json", endpoint=hub.url)
            assert hub.seen(r"GET .*/resolve/main/config.json")
        ```
    """

    def __init__(self, tokens: Mapping[str, User] = TOKENS) -> None:
        self.tokens = tokens
        self.requests: list[LoggedRequest] = []
        self.errors: list[Exception] = []
        self.faults = Faults()
        self.lock = threading.RLock()
        self.connections: set[socket.socket] = set()
        self.store = Store(tokens)
        self._server = _Server(self)
        self._thread: threading.Thread | None = None
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    # --- running ---

    def start(self) -> "HubServer":
        """Serves from a daemon thread."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops listening and ends kept-alive connections, so that clients see the server gone."""
        if self._thread:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "HubServer":
        """Starts the server."""
        return self.start()

    def __exit__(self, *exc: object) -> None:
        """Stops the server."""
        self.stop()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Refuses all connections while the block runs, then serves again at the same address."""
        self.stop()
        # Bound but not listening: the port stays ours, and the kernel refuses whoever connects.
        self._server = _Server(self, self._server.server_address)
        try:
            yield
        finally:
            self._server.server_activate()
            self.start()

    def reset(self) -> None:
        """Forgets repositories, uploads, requests, faults and errors."""
        with self.lock:
            self.store = Store(self.tokens)
            self.requests.clear()
            self.errors.clear()
            self.faults.clear()

    def env(self, home: Path | str | None = None, token: str | None = "hf_user") -> dict[str, str]:
        """Environment variables for a client in a child process; most are read when a client is imported.

        Args:
            home (`Path` or `str`, *optional*): For `HF_HOME`, where the caches go.
            token (`str`, *optional*, defaults to `"hf_user"`): For `HF_TOKEN`; `None` to be nobody.
        """
        return {
            "HF_ENDPOINT": self.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "DISABLE_SAFETENSORS_CONVERSION": "1",
            "NO_PROXY": "127.0.0.1",
            **({"HF_TOKEN": token} if token else {}),
            **({"HF_HOME": str(home)} if home else {}),
        }

    # --- for tests, without a request ---

    def create_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes | None] | None = None,
        *,
        type: str = "model",
        private: bool = False,
        gated: str | bool = False,
    ) -> Repo:
        """Makes a repository, with `files` in a commit on `main`."""
        with self.lock:
            repo = self.store.create_repo(type, repo_id, repo_id.partition("/")[0], private=private)
            repo.gated = gated
            if files:
                repo.commit(files)
        return repo

    def repo(self, repo_id: str, type: str = "model") -> Repo:
        """A repository as it is now, whoever may see it."""
        return self.store.repos[type, repo_id]

    def seen(self, pattern: str) -> list[LoggedRequest]:
        """The logged requests in whose "METHOD /path?query" the regular expression is found."""
        return [request for request in self.requests if re.search(pattern, f"{request.method} {request.target}")]

    # --- for the connection handler ---

    def answer(self, request: Request, fault: Fault) -> Answer:
        """Answers a request, or fails as ordered."""
        try:
            if fault.callback:  # outside the lock: it may send requests of its own
                fault.callback()
            if fault.done or (fault.answers and not fault.error):
                with self.lock:
                    answer = dispatch(self.store, request)
            if fault.error:
                raise fault.error
            return Answer() if not fault.answers else answer
        except HubError as error:
            return error.answer
        except Exception as error:  # a bug here must not look like a network failure
            self.errors.append(error)
            return Answer({"error": f"the test Hub failed: {error!r}"}, 500)

    def log(self, method: str, target: str, status: int, with_token: bool = False) -> None:
        """Adds a line to `requests`."""
        self.requests.append(LoggedRequest(method, target, status, with_token))


class _Server(ThreadingHTTPServer):
    """Knows its Hub, and keeps track of open connections. Given an address, it binds to it but does not listen."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: HubServer, address: tuple[str, int] | None = None) -> None:
        self.hub = hub
        super().__init__(address or ("127.0.0.1", 0), _Handler, bind_and_activate=address is None)
        if address:
            self.server_bind()

    def process_request_thread(self, request: socket.socket, client_address: object) -> None:
        self.hub.connections.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.hub.connections.discard(request)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that closed its connection


class _Handler(BaseHTTPRequestHandler):
    """Reads requests off one connection and writes their answers, cutting it where a fault says so."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # buffered, so that headers and body leave in one packet
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        hub: HubServer = self.server.hub
        with hub.lock:
            fault = hub.faults.take(self.command, self.path)
        if fault.upload_limit is not None:
            self.rfile.read(min(fault.upload_limit, int(self.headers.get("Content-Length") or 0)))
            hub.log(self.command, self.path, 0)
            self._cut()
            return
        base = f"http://{self.headers.get('Host') or hub.url.removeprefix('http://')}"
        answer = hub.answer(Request(self.command, self.path, self.headers, self._read_body(), base), fault)
        hub.log(self.command, self.path, answer.status if fault.answers else 0, "Authorization" in self.headers)
        if fault.answers:
            self._write(fault.change(answer) if fault.change else answer, fault)
        else:
            self._fail(fault)

    def _fail(self, fault: Fault) -> None:
        """Gives no answer."""
        if fault.silent:
            self._wait(_SILENT_SECONDS)
        if fault.reset:  # closing with unsent data thrown away is a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(fault.noise or b"")
        self._cut()

    def _wait(self, seconds: float) -> bool:
        """Waits until the client goes away, and says whether it did."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _write(self, answer: Answer, fault: Fault = NO_FAULT) -> None:
        body, headers = answer.payload, answer.headers
        if not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        if fault.corrupt and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value.encode("ascii", "replace").decode())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault.drip:
            self._drip(body)
        elif self.command != "HEAD":
            self.wfile.write(body[: fault.answer_limit])
        if fault.answer_limit is not None:
            self._cut()

    def _drip(self, body: bytes) -> None:
        """Sends all but the last byte, one at a time, until the client goes away."""
        for position in range(len(body) - 1):
            self.wfile.write(body[position : position + 1])
            self.wfile.flush()
            if self._wait(_DRIP_SECONDS):
                break
        self._cut()

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, *args: object) -> None:
        pass

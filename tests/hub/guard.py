"""Keeps tests on this machine: whoever looks up or connects to an address outside is stopped, and named.

    with forbid_outside_connections() as attempts:
        ...                      # a connection that leaves loopback raises OutsideConnectionError
    assert not attempts          # also finds those whose error a library has swallowed

Connections are caught in Python's `socket`; what libraries open in C is not seen. A child process is guarded by
starting it through this package: `python -m tests.hub (-c CODE | -m MODULE | SCRIPT) [ARGUMENT ...]`.
"""

import ipaddress
import re
import runpy
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class OutsideConnectionError(RuntimeError):
    """A connection that would have left this machine. No `OSError`, which clients take for a network failure."""


_UNDER_LOOPBACK = re.compile(r".+\.127(\.\d+){3}")


def is_inside(host: object) -> bool:
    """Whether a host name or a numeric address is this machine's loopback."""
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


@contextmanager
def forbid_outside_connections() -> Iterator[list[str]]:
    """Makes every connection that leaves loopback raise an error; Unix sockets stay allowed.

    Yields:
        `list[str]`: The addresses that were tried, growing as they are.

    Raises:
        OutsideConnectionError: In whoever connects to or looks up an outside address, naming it.
    """
    attempts: list[str] = []

    def check(address: str, host: object) -> None:
        if not is_inside(host):
            attempts.append(address)
            raise OutsideConnectionError(f"A test tried to leave this machine: {address}. Use the loopback Hub.")

    def guarded(connect: Callable) -> Callable:
        def call(self: socket.socket, address: tuple) -> object:
            if self.family != socket.AF_UNIX:
                check(f"{address[0]}:{address[1]}", address[0])
            return connect(self, address)

        return call

    def getaddrinfo(host: object, port: object, *args: object, **kwargs: object) -> list:
        if _UNDER_LOOPBACK.fullmatch(str(host)):  # what `datasets` makes of HF_ENDPOINT to find the Hub's data viewer
            raise socket.gaierror(socket.EAI_NONAME, f"No such host: {host}")
        check(f"{host}:{port}", host)
        return look_up(host, port, *args, **kwargs)

    look_up, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex
    socket.getaddrinfo = getaddrinfo
    socket.socket.connect, socket.socket.connect_ex = guarded(connect), guarded(connect_ex)
    try:
        yield attempts
    finally:
        socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex = look_up, connect, connect_ex


def main(argv: list[str]) -> None:
    """Runs what Python would run for these arguments, guarded."""
    kind, rest = argv[0], argv[1:]
    with forbid_outside_connections():
        if kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        elif kind == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = argv
            sys.path.insert(0, str(Path(kind).resolve().parent))
            runpy.run_path(kind, run_name="__main__")

"""A Hugging Face Hub on loopback for the tests, and what goes with it.

The real clients talk to it over HTTP. Map of the files, in the order of import:

    protocol.py     request, answer, error
    repository.py   blobs, commits, refs, pull requests
    store.py        users, repositories, rights
    describe.py     repositories and files as the API's JSON
    reading.py      endpoints that read        writing.py    endpoints that change
    discussions.py  pull requests              account.py    creating, listing, who am I
    routes.py       from address to endpoint
    faults.py       what a test lets go wrong
    server.py       HubServer: HTTP, the log, start and stop
    guard.py        no connection may leave this machine
    clients.py      child processes and instant retries for tests
    __main__.py     python -m tests.hub ...: any Python program under the guard
"""

from .guard import OutsideConnectionError, forbid_outside_connections
from .repository import Repo
from .server import HubServer, LoggedRequest
from .store import User

__all__ = ["HubServer", "LoggedRequest", "OutsideConnectionError", "Repo", "User", "forbid_outside_connections"]

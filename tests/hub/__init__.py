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

It does not imitate the Hub in these points, so that tests say nothing about them:

- Storage: no Xet (clients run with `HF_HUB_DISABLE_XET=1`), no redirects to a content network, no uploads in parts:
  large files go through git LFS in one piece.
- Transport: no TLS, no gzip, no HTTP/2. Listings of files, commits and repositories come in one page.
- Limits: requests are never too many, files never too large, quotas never used up, unless a test orders the fault.
- Pages: no data viewer, no conversion to Parquet. Of a card's metadata only the syntax and the presence are checked.
- Merging: a pull request that cannot be merged is answered with 409, which is a choice of ours.

The guard sees connections that Python opens. One that a library opens in C or Rust leaves unseen.
"""

from .guard import OutsideConnectionError, forbid_outside_connections
from .repository import Repo
from .server import HubServer, LoggedRequest
from .store import User

__all__ = ["HubServer", "LoggedRequest", "OutsideConnectionError", "Repo", "User", "forbid_outside_connections"]

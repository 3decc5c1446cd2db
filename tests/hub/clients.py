"""Helpers for tests that use the real clients: child processes with a clean environment, and no real waiting."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from .server import HubServer

ROOT = Path(__file__).parents[2]


def run_python(
    *args: str,
    hub: HubServer,
    home: Path | str,
    token: str | None = "hf_user",
    timeout: float = 120,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Runs Python as a user of the Hub would, in a new process that cannot leave this machine.

    Args:
        args (`str`): As for `python`: `"-c", code`, `"-m", module, ...` or a script and its arguments.
        hub (`HubServer`): The Hub that the process talks to.
        home (`Path` or `str`): Its `HF_HOME` and its current directory, made if missing; a new folder starts with
            empty caches.
        token (`str`, *optional*, defaults to `"hf_user"`): `None` to be nobody.
        timeout (`float`, *optional*, defaults to 120): Seconds.
        variables (`str`): More environment variables, such as `HF_HUB_OFFLINE="1"`.

    Returns:
        `subprocess.CompletedProcess`: With `returncode`, `stdout` and `stderr`. The caller checks them.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**inherited, "PYTHONPATH": os.pathsep.join(paths), **hub.env(home, token), **variables}
    command = [sys.executable, "-m", "tests.hub", *args]
    Path(home).mkdir(parents=True, exist_ok=True)
    return subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=timeout, check=False)


@contextmanager
def no_waiting() -> Iterator[list[float]]:
    """Lets `huggingface_hub` and the library ask again at once.

    Yields:
        `list[float]`: The seconds that it would have waited before each retry.
    """
    waits: list[float] = []
    clock = SimpleNamespace(**{**vars(time), "sleep": waits.append})
    clients = patch("huggingface_hub.utils._http.time", clock), patch("huggingface_hub.file_download.time", clock)
    with clients[0], clients[1], patch("embedllm_hf.hub.requests.sleep", waits.append):
        yield waits

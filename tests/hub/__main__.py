"""`python -m tests.hub (-c CODE | -m MODULE | SCRIPT) [ARGUMENT ...]` is `python ...`, kept on this machine."""

import sys

from .guard import main

main(sys.argv[1:])

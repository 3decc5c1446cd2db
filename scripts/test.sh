#!/usr/bin/env bash
# Lint and test. Arguments go to pytest: bash scripts/test.sh tests/test_routing.py -k cost
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh" test

ruff check .
ruff format --check .
python -m pytest "$@"

#!/usr/bin/env bash
# Lint, check types and test. Arguments go to pytest: bash scripts/test.sh tests/inference/test_router.py -k cost
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh" test

ruff check .
ruff format --check .
mypy
python -m pytest "$@"

#!/usr/bin/env bash
# What only a GPU can show, as a table: bash scripts/check_gpu.sh [--output gpu.json]. Without a GPU it ends with 77.
# .venv needs a torch that was built with CUDA; before the first run: python3 -m venv .venv && .venv/bin/pip install torch
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh" offline

python -m scripts.gpu "$@"

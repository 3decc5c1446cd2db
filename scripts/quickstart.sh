#!/usr/bin/env bash
# What the library does, on real answers of 105 LLMs. Options go to the verb: bash scripts/quickstart.sh --output_dir D
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh" offline

embedllm quickstart "$@"

#!/usr/bin/env bash
# The main job on a pool that the package makes: train, report against the baselines, route three questions.
source "$(dirname "${BASH_SOURCE[0]}")/_environment.sh" offline

embedllm train --dataset planted --encoder offline --output_dir runs/quickstart --overwrite_output_dir
echo
embedllm route --model runs/quickstart \
    "What is 310 multiplied by 48?" \
    "Which sea is nearest to Portugal?" \
    "Is a contract about a used car valid when nothing was signed?"

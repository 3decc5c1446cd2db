"""The command line or a script as one process of `accelerate launch`, which says who it is; see `launching`."""

import os
import runpy
import sys

from accelerate import DistributedType

from embedllm_hf.training.processes import process_state

if __name__ == "__main__":
    state = process_state()
    sys.stdout.write(f"process {state.process_index} of {state.num_processes}\n")
    sys.stdout.flush()
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":  # which Accelerate turns on for GPUs only; torch has it on CPU
        state.distributed_type = DistributedType.MULTI_GPU
    del sys.argv[0]
    if sys.argv[0].endswith(".py"):
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        from embedllm_hf.cli import main

        raise SystemExit(main(sys.argv))

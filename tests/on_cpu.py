"""The command line as one of the processes of `accelerate launch`, which says who it is; see `launching`."""

import os
import sys

from accelerate import DistributedType

from embedllm_hf.training.processes import process_state

if __name__ == "__main__":
    state = process_state()
    sys.stdout.write(f"process {state.process_index} of {state.num_processes}\n")
    sys.stdout.flush()
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":  # which Accelerate turns on for GPUs only; torch has it on CPU
        state.distributed_type = DistributedType.MULTI_GPU
    from embedllm_hf.cli import main

    raise SystemExit(main(sys.argv[1:]))

"""`python -m embedllm_hf` is the command line `embedllm`."""

from .cli import main

raise SystemExit(main())

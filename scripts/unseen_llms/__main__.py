r"""Write the report on unseen LLMs: `embedllm evaluate --unseen_llms` with baselines, tables and a figure.

python -m scripts.unseen_llms --dataset open-llm-responses --output_dir model_cards/unseen_llms \
    --question_embeddings open-llm-responses/question_embeddings.all-MiniLM-L6-v2.safetensors --seeds 3 4 5 6 7
python -m scripts.unseen_llms --dataset planted --output_dir runs/unseen --quick      # ten seconds

About seven minutes a seed on one core for the first; the report is written anew after each seed.
"""

import argparse
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Parse, load, measure."""
    from embedllm_hf.cli._options import add_data_options
    from embedllm_hf.cli._unseen import add_unseen_options, load_unseen

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_options(parser)
    add_unseen_options(parser)
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the report")
    options = parser.parse_args(argv)

    import torch

    from .baselines import BaselineSettings
    from .report import measure_and_report

    settings, splits = load_unseen(options)
    beside = BaselineSettings((16,), 16) if options.quick else BaselineSettings()
    name = splits["train"].responses.origin.id
    quick = " --quick" if options.quick else ""
    about = {"dataset": name, "n_llms": splits["train"].responses.n_llms, "encoder": str(splits["train"].encoder)}
    seeds = " ".join(map(str, settings.seeds))
    about["command"] = f"python -m scripts.unseen_llms --dataset {name}{quick} --seeds {seeds}"
    torch.set_num_threads(1)  # many small products, which more threads slow down
    for n_done in measure_and_report(splits, settings, beside, options.output_dir, about):
        print(f"{n_done} of {len(settings.seeds)} seeds done; report in {options.output_dir}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Turn a checkpoint of the paper's own code into a folder that `EmbedLLM.from_pretrained` loads.

python scripts/convert_original_checkpoint.py --checkpoint mf.pth --model_order model_order.csv --output_dir runs/paper
"""

import argparse
import sys
from collections.abc import Sequence


def make_parser() -> argparse.ArgumentParser:
    """The script's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="state dict that the original code saved")
    parser.add_argument("--model_order", required=True, help="`model_order.csv` of the data set it was trained on")
    parser.add_argument("--output_dir", required=True, help="folder of the converted model")
    parser.add_argument("--overwrite_output_dir", action="store_true", help="replace a model that is there")
    parser.add_argument("--encoder", help="text encoder that it was trained with (default: the paper's)")
    parser.add_argument("--encoder_revision", help="commit of the text encoder")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, save, print one line."""
    parser = make_parser()
    options = parser.parse_args(argv)

    from embedllm_hf._errors import UserError
    from embedllm_hf.conversion import convert_original_checkpoint
    from embedllm_hf.modeling_embedllm import save_whole
    from embedllm_hf.training.arguments import EmbedLLMTrainingArguments
    from embedllm_hf.training.checkpoints import check_output_dir

    encoder = {} if options.encoder is None else {"encoder_name": options.encoder}
    try:
        check_output_dir(
            EmbedLLMTrainingArguments(output_dir=options.output_dir, overwrite_output_dir=options.overwrite_output_dir)
        )
        model = convert_original_checkpoint(
            options.checkpoint, options.model_order, encoder_revision=options.encoder_revision, **encoder
        )
        save_whole(model, options.output_dir)
    except (UserError, OSError) as error:  # anything else is a bug, and shows
        parser.error(" ".join(str(error).split()))
    config = model.config
    print(f"{config.n_llms} LLMs in {config.embed_dim} dimensions, questions by `{config.encoder_name}`")
    print(f"saved to {options.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

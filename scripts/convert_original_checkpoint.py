"""Turn a checkpoint of the paper's own code into a folder that `EmbedLLM.from_pretrained` loads.

python scripts/convert_original_checkpoint.py --checkpoint mf.pth --model_order model_order.csv --output_dir runs/paper

That code saves a pickled state dict without names: `P.weight` are the LLM vectors, `text_proj` and `classifier` the
linear maps, and `Q.weight` the text vectors of its questions, one row each, which an `EmbedLLM` takes as input
instead; they are left behind. The names come from the `model_order.csv` of its data set.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from embedllm_hf import EmbedLLM, EmbedLLMConfig
from embedllm_hf._checks import shorten
from embedllm_hf._errors import InputError, MissingFile, UserError
from embedllm_hf.configuration_embedllm import DEFAULT_ENCODER
from embedllm_hf.data.files import read_order
from embedllm_hf.training.runs import check_output_dir

_NAME_HERE = {
    "P.weight": "llm_embedding.weight",
    "text_proj.weight": "question_proj.weight",
    "text_proj.bias": "question_proj.bias",
    "classifier.weight": "classifier.weight",
    "classifier.bias": "classifier.bias",
}
_QUESTIONS = "Q.weight"


def convert_original_checkpoint(
    checkpoint: str | Path,
    model_order: str | Path,
    *,
    encoder_name: str = DEFAULT_ENCODER,
    encoder_revision: str | None = None,
) -> EmbedLLM:
    """Read a state dict of the original code as a model in the paper's form; nothing in it is executed.

    Args:
        checkpoint (`str` or `Path`): What `torch.save(model.state_dict(), ...)` wrote.
        model_order (`str` or `Path`): CSV with `model_id` and `model_name`, in the order of the rows of `P.weight`.
        encoder_name (`str`): The text encoder that `Q.weight` was made with. Default: the paper's.
        encoder_revision (`str`, *optional*): Its commit.

    Returns:
        `EmbedLLM`: In evaluation mode; its logits are those of the original.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is damaged, a weight is missing, unknown or of a shape that does not fit, or there is
            another number of names than of LLM vectors.
    """
    state = _read_state(_existing("checkpoint", checkpoint))
    names = read_order(_existing("model_order", model_order))
    n_llms, embed_dim = state["P.weight"].shape
    text_dim = state[_QUESTIONS].shape[1]
    expected = {
        "text_proj.weight": (embed_dim, text_dim),
        "text_proj.bias": (embed_dim,),
        "classifier.weight": (2, embed_dim),
        "classifier.bias": (2,),
    }
    for name, shape in expected.items():
        if state[name].shape != shape:
            raise InputError(
                f"{checkpoint}: `{name}` has shape {tuple(state[name].shape)}, expected {shape} beside `P.weight` "
                f"{n_llms, embed_dim} and `{_QUESTIONS}` {tuple(state[_QUESTIONS].shape)}. Is it one model's file?"
            )
    if len(names) != n_llms:
        raise InputError(
            f"{model_order}: names {len(names)} LLMs, but {checkpoint} holds vectors of {n_llms}. "
            "Give the file of the data set that the checkpoint was trained on."
        )
    config = EmbedLLMConfig.paper(
        llm_names=names,
        text_dim=text_dim,
        embed_dim=embed_dim,
        encoder_name=encoder_name,
        encoder_revision=encoder_revision,
    )
    model = EmbedLLM(config)
    model.load_state_dict({here: state[there].float() for there, here in _NAME_HERE.items()})
    return model.eval()


def _existing(argument: str, path: str | Path) -> Path:
    if not Path(path).is_file():
        raise MissingFile(f"`{argument}`: there is no file {path}.")
    return Path(path)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a file, with the weights that it must have, all finite."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything: eleven types in 3,000 tries
        raise InputError(
            f"{path}: cannot be read as a state dict of tensors ({type(error).__name__}). Is the file whole, and what "
            "`torch.save(model.state_dict(), ...)` wrote? Nothing else is unpickled."
        ) from error
    if not isinstance(state, dict):
        raise InputError(f"{path}: holds a `{type(state).__name__}`, expected a state dict of tensors.")
    wanted = {*_NAME_HERE, _QUESTIONS}
    wrong = {"missing": wanted - set(state), "unknown": set(state) - wanted}
    if any(wrong.values()):
        found = "; ".join(f"{kind} {shorten(keys, 6)}" for kind, keys in wrong.items() if keys)
        raise InputError(f"{path}: {found}. Expected the weights {shorten(wanted, 6)} of the original code.")
    for name, weight in state.items():
        rank = 1 if name.endswith("bias") else 2
        if not isinstance(weight, torch.Tensor) or weight.ndim != rank or not torch.isfinite(weight).all():
            raise InputError(f"{path}: `{name}` is no tensor of rank {rank} with finite numbers. Is the file damaged?")
    return state


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

    encoder = {} if options.encoder is None else {"encoder_name": options.encoder}
    try:
        check_output_dir(options.output_dir, may_hold_model=options.overwrite_output_dir)
        model = convert_original_checkpoint(
            options.checkpoint, options.model_order, encoder_revision=options.encoder_revision, **encoder
        )
        model.save_pretrained(options.output_dir)
    except (UserError, OSError) as error:  # anything else is a bug, and shows
        parser.error(" ".join(str(error).split()))
    config = model.config
    print(f"{config.n_llms} LLMs in {config.embed_dim} dimensions, questions by `{config.encoder_name}`")
    print(f"saved to {options.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Render the example cards in `model_cards/`, or check that they are what the library writes today.

python scripts/make_cards.py                 # after a change of the template or of the pictures
python scripts/make_cards.py --check         # ends with 1, and names the files, if a card has drifted

A card's folder holds what the card is made from: `config.json`, `metrics.json` and `llm_embeds.safetensors`. They come
from a trained model, here for the first two cards:

embedllm train --dataset planted --encoder offline --output_dir runs/planted
python scripts/make_cards.py --take runs/planted --name planted
embedllm quickstart
python scripts/make_cards.py --take runs/quickstart/model --name open-llm-responses

`open-llm-responses-trained-encoder` is of `embedllm train --train_encoder` on a data set with the texts, which the one
in the package does not hold: its part of 72 LLMs and 13,385 questions, as a folder in the layout of `RZ412/EmbedLLM`.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

CARDS = Path(__file__).resolve().parent.parent / "model_cards"
CONFIG, METRICS, EMBEDS, KEY = "config.json", "metrics.json", "llm_embeds.safetensors", "llm_embeds"
# Letters are drawn a little differently on another processor; more than this share of other pixels is another picture.
SAME_PICTURE = 2e-4


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a card has drifted")
    parser.add_argument("--cards", type=Path, default=CARDS, help="folder of the cards (default: model_cards)")
    parser.add_argument("--take", type=Path, metavar="FOLDER", help="first take the inputs of a card from this model")
    parser.add_argument("--name", help="the card's folder, with --take")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Render or check every card."""
    parser = make_parser()
    options = parser.parse_args(argv)
    if (options.take is None) != (options.name is None) or (options.take and options.check):
        parser.error("--take and --name go together, and not with --check")
    if options.take:
        take_inputs(options.take, options.cards / options.name)
    folders = sorted(path.parent for path in options.cards.glob(f"*/{CONFIG}"))
    if not folders:
        parser.error(f"{options.cards} holds no card")
    if not options.check:
        for folder in folders:
            render(folder, folder)
            print(f"rendered {folder.name}")
        return 0
    drifted = [f"{folder.name}/{name}" for folder in folders for name in drift(folder)]
    if drifted:
        print(f"drifted: {', '.join(drifted)}. Run python scripts/make_cards.py and commit the result.")
        return 1
    print(f"{len(folders)} cards are up to date")
    return 0


def take_inputs(model_folder: Path, folder: Path) -> None:
    """Copy what a card is made from out of a trained model; no weights but the LLM vectors, and no questions."""
    from safetensors.numpy import save_file

    from embedllm_hf import EmbedLLM

    model = EmbedLLM.from_pretrained(model_folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, METRICS):
        shutil.copyfile(model_folder / name, folder / name)
    save_file({KEY: model.llm_embeds}, folder / EMBEDS)


def render(folder: Path, target: Path) -> None:
    """Write the card of `folder`, and its pictures, into `target`."""
    from safetensors.numpy import load_file

    from embedllm_hf import EmbedLLMConfig
    from embedllm_hf.cards.model_card import write_model_card

    config = EmbedLLMConfig.from_pretrained(folder)
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    benchmarks = list(metrics["benchmarks"])
    write_model_card(target, config, metrics, load_file(folder / EMBEDS)[KEY], benchmarks=benchmarks)


def drift(folder: Path) -> list[str]:
    """Files of a card that are missing, too many, or other than what is rendered now."""
    with tempfile.TemporaryDirectory() as fresh:
        render(folder, Path(fresh))
        new = {path.name: path for path in Path(fresh).iterdir()}
        old = {path.name: path for path in folder.iterdir() if path.name not in (CONFIG, METRICS, EMBEDS)}
        changed = {name for name in new.keys() & old.keys() if not same(old[name], new[name])}
        return sorted(changed | (new.keys() ^ old.keys()))


def same(old: Path, new: Path) -> bool:
    """Whether texts are equal, or pictures look the same; those of another matplotlib cannot be compared."""
    if old.suffix != ".png":
        return old.read_bytes() == new.read_bytes()
    import numpy as np
    from PIL import Image

    with Image.open(old) as first, Image.open(new) as second:
        if first.text.get("Software") != second.text.get("Software"):
            return True
        pixels = [np.asarray(image.convert("RGB"), np.int16) for image in (first, second)]
    return pixels[0].shape == pixels[1].shape and (np.abs(pixels[0] - pixels[1]) > 16).mean() < SAME_PICTURE


if __name__ == "__main__":
    raise SystemExit(main())

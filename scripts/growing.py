"""What adding to a model costs beside training it again: the figures and the rule of `model_cards/growing.md`.

python -m scripts.growing [--shares 0.05 0.1 0.2 0.4]

On open-llm-responses a model is trained without a share of the LLMs, without a share of the questions, or without a
benchmark; what was left out is added by `add`, and the test split is measured beside a model trained on everything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from embedllm_hf import EmbedLLM, EmbedLLMTrainingArguments, EncodedResponses, load_splits
from embedllm_hf._tables import format_table
from embedllm_hf.metrics import auc, log_loss
from embedllm_hf.new_llms.adding import add
from embedllm_hf.training.fit_bank import fit_bank
from embedllm_hf.training.network_trainer import NetworkTrainer

Splits = dict[str, EncodedResponses]
HEAD = ["left out", "share", "before", "validation", "added AUC", "retrained", "added loss", "retrained", "costs"]


def trained_on(splits: Splits) -> EmbedLLM:
    """A model of the training questions, with its bank; the intervals are not calibrated."""
    train, validation = splits["train"], splits["validation"]
    assert train.encoder is not None
    model = EmbedLLM.from_encoder(train.encoder.name, llm_names=train.responses.llm_names, text_dim=train.text_dim)
    with tempfile.TemporaryDirectory() as folder:
        NetworkTrainer(model, EmbedLLMTrainingArguments(folder, disable_tqdm=True), train, validation).train()
    return model.with_bank(fit_bank(model, train, validation, calibrate=False))


def scores(model: EmbedLLM, test: EncodedResponses, llms: Sequence[str]) -> tuple[float, float]:
    """AUC and log loss of some LLMs' answers to the test questions."""
    probs = model.predict_proba(test.question_embeds)[:, [model.llm_index(name) for name in llms]]
    truth = test.responses.select(llms=llms).responses()
    return auc(probs, truth), log_loss(probs, truth)


def row_of(name: str, splits: Splits, rest: Splits, retrained: EmbedLLM, test: EncodedResponses, llms: Sequence[str]):
    """A line of the table: what the model of `rest` is worth on the test split once everything is added."""
    addition = add(trained_on(rest), splits["train"])
    before = rest["train"].responses.n_observed / splits["train"].responses.n_observed
    losses = [addition.log_loss_before, addition.log_loss_validation]
    measured = [scores(model, test, llms) for model in (addition.model, retrained)]
    cells = [*losses, *(value for pair in zip(*measured, strict=True) for value in pair)]
    costs = measured[0][1] - measured[1][1]
    return [name, f"{1 - before:.0%}", *(f"{value:.4f}" for value in cells), f"{costs:+.4f}"]


def without_llms(splits: Splits, share: float) -> tuple[Splits, list[str]]:
    """The splits without a share of the LLMs, chosen at random, and the names of these."""
    names = splits["train"].responses.llm_names
    chosen = np.random.default_rng(0).permutation(len(names))[: round(share * len(names))]
    kept = [name for index, name in enumerate(names) if index not in chosen]
    return {split: part.select(llms=kept) for split, part in splits.items()}, [names[index] for index in chosen]


def without_questions(splits: Splits, share: float) -> Splits:
    """The splits without a share of the training questions, chosen at random."""
    train = splits["train"]
    kept = np.random.default_rng(0).permutation(train.responses.n_questions)[
        round(share * train.responses.n_questions) :
    ]
    return {**splits, "train": train.select(np.sort(kept))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.05, 0.1, 0.2, 0.4], help="to leave out")
    options = parser.parse_args(arguments)
    data = load_splits("open-llm-responses")
    splits = {name: EncodedResponses.from_own_file(split) for name, split in data.items()}
    test = splits.pop("test")
    retrained, rows = trained_on(splits), []
    for share in options.shares:
        rest, gone = without_llms(splits, share)
        kept = rest["train"].responses.llm_names
        rows.append(row_of(f"{share:.0%} of the LLMs: these", splits, rest, retrained, test, gone))
        print(rows[-1], flush=True)
        rows.append(row_of(f"{share:.0%} of the LLMs: the others", splits, rest, retrained, test, kept))
    for share in options.shares:
        rows.append(
            row_of(
                f"{share:.0%} of the questions",
                splits,
                without_questions(splits, share),
                retrained,
                test,
                data.llm_names,
            )
        )
        print(rows[-1], flush=True)
    for benchmark, categories in data.train.benchmarks.items():
        rest = {name: part.select(~np.isin(part.responses.categories, categories)) for name, part in splits.items()}
        own = test.select(np.isin(test.responses.categories, categories))
        rows.append(row_of(f"{benchmark}: its questions", splits, rest, retrained, own, data.llm_names))
        print(rows[-1], flush=True)
    print(format_table(HEAD, rows, markdown=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())

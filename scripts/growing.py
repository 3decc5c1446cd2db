"""What adding to a model costs beside training it again: the figures behind the rule of `model_cards/growing.md`.

python -m scripts.growing [--shares 0.05 0.1 0.2 0.4 0.8]

On open-llm-responses a model is trained without a share of the LLMs, without a share of the questions, without a
benchmark, or without half of a benchmark's categories. What was left out is added by `add`, and the test split is
measured beside a model that was trained on everything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from embedllm_hf import EmbedLLM, EmbedLLMTrainingArguments, EncodedResponses, add, load_splits
from embedllm_hf._tables import format_table
from embedllm_hf.metrics import auc, log_loss
from embedllm_hf.new_llms.adding import Addition
from embedllm_hf.training.fit_bank import fit_bank
from embedllm_hf.training.network_trainer import NetworkTrainer

HEAD = (
    "left out, measured on", "added", "loss before", "validation", "AUC added", "retrained", "loss added", "retrained",
    "retraining gains", "add says",
)  # fmt: skip


class Splits(NamedTuple):
    """The splits of a data set, with their text vectors."""

    train: EncodedResponses
    validation: EncodedResponses
    test: EncodedResponses

    def of_llms(self, llms: Sequence[str]) -> Splits:
        """The same for some LLMs."""
        return Splits(*(split.select(llms=llms) for split in self))

    def of_categories(self, categories: Sequence[str], *, without: bool) -> Splits:
        """The questions of some categories, or of all others."""
        return Splits(*(part.select(np.isin(part.responses.categories, categories) != without) for part in self))

    def without_questions(self, share: float) -> Splits:
        """The same without a share of the training questions, chosen at random."""
        n_questions = self.train.responses.n_questions
        kept = np.random.default_rng(0).permutation(n_questions)[round(share * n_questions) :]
        return self._replace(train=self.train.select(np.sort(kept)))


def trained_on(splits: Splits) -> EmbedLLM:
    """A model of the training questions, with its bank; the intervals are not calibrated."""
    train = splits.train
    assert train.encoder is not None
    model = EmbedLLM.from_encoder(train.encoder.name, llm_names=train.responses.llm_names, text_dim=train.text_dim)
    with tempfile.TemporaryDirectory() as folder:
        NetworkTrainer(model, EmbedLLMTrainingArguments(folder, disable_tqdm=True), train, splits.validation).train()
    return model.with_bank(fit_bank(model, train, splits.validation, calibrate=False))


def scores(model: EmbedLLM, test: EncodedResponses) -> tuple[float, float]:
    """AUC and log loss of forecasts of the answers to the test questions, by LLMs of the model or some of them."""
    llms = test.responses.llm_names
    probs = model.predict_proba(test.question_embeds)[:, [model.llm_index(name) for name in llms]]
    truth = test.responses.responses()
    return auc(probs, truth), log_loss(probs, truth)


def line(name: str, addition: Addition, retrained: EmbedLLM, test: EncodedResponses) -> list[str]:
    """A line of the table, printed when it is there."""
    measured = zip(scores(addition.model, test), scores(retrained, test), strict=True)
    (auc_added, auc_again), (loss_added, loss_again) = measured
    numbers = (addition.log_loss_before, addition.log_loss_validation, auc_added, auc_again, loss_added, loss_again)
    verdict = "pays" if addition.retraining_pays else "not yet"
    gain = f"{loss_added - loss_again:+.4f}"
    cells = [name, f"{addition.share_added:.0%}", *(f"{number:.4f}" for number in numbers), gain, verdict]
    print(" | ".join(cells), file=sys.stderr, flush=True)
    return cells


def without_llms(splits: Splits, retrained: EmbedLLM, share: float) -> list[list[str]]:
    """Two lines on a share of the LLMs, chosen at random: on these and on the others."""
    names = splits.train.responses.llm_names
    chosen = set(np.random.default_rng(0).permutation(names)[: round(share * len(names))])
    gone, kept = ([name for name in names if (name in chosen) == wanted] for wanted in (True, False))
    addition = add(trained_on(splits.of_llms(kept)), splits.train)
    return [
        line(f"{share:.0%} of the LLMs, these", addition, retrained, splits.test.select(llms=gone)),
        line(f"{share:.0%} of the LLMs, the others", addition, retrained, splits.test.select(llms=kept)),
    ]


def without_categories(splits: Splits, retrained: EmbedLLM, name: str, categories: Sequence[str]) -> list[str]:
    """The line on some categories, measured on these."""
    addition = add(trained_on(splits.of_categories(categories, without=True)), splits.train)
    return line(f"{name}, its questions", addition, retrained, splits.of_categories(categories, without=False).test)


def known_questions(splits: Splits, share: float = 0.2) -> list[str]:
    """AUC and log loss of a tenth of the answers to added questions: unseen, added without these, and trained so."""
    responses, rest = splits.train.responses, splits.without_questions(share)
    added = ~np.isin(responses.question_ids, rest.train.responses.question_ids)
    held_back = added[responses.question_indices] & (np.random.default_rng(1).random(responses.n_observed) >= 0.9)
    given, truth = splits.train.with_responses(responses.keep(~held_back)), responses.keep(held_back).responses()
    model = trained_on(rest)
    forecasts = {"before": model.predict_proba(splits.train.question_embeds)}
    for name, grown in (("added", add(model, given).model), ("retrained", trained_on(splits._replace(train=given)))):
        assert grown.bank is not None
        logits = grown.bank.known_logits(grown.bank.rows_of_keys(responses.keys))
        assert logits is not None
        forecasts[name] = expit(logits)
    return [
        f"known questions, {name}: AUC {auc(probs, truth):.4f}, log loss {log_loss(probs, truth):.4f}"
        for name, probs in forecasts.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.05, 0.1, 0.2, 0.4, 0.8], help="to leave out")
    options = parser.parse_args(arguments)
    data = load_splits("open-llm-responses")
    given = {name: EncodedResponses.from_own_file(split) for name, split in data.items()}
    splits = Splits(**{name: split for name, split in given.items() if split is not None})
    retrained, rows = trained_on(splits), []
    for share in options.shares:
        rows += without_llms(splits, retrained, share)
    for share in options.shares:
        addition = add(trained_on(splits.without_questions(share)), splits.train)
        rows.append(line(f"{share:.0%} of the questions, all", addition, retrained, splits.test))
    for benchmark, categories in splits.train.responses.benchmarks.items():
        rows.append(without_categories(splits, retrained, benchmark, categories))
        if len(categories) > 1:
            rows.append(without_categories(splits, retrained, f"half of {benchmark}", categories[::2]))
    print(format_table(HEAD, rows, markdown=True))
    print(*known_questions(splits), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

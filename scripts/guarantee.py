"""Whether `min_success` keeps its promise on questions that were set apart: `model_cards/guarantee.md`.

python -m scripts.guarantee --data open-llm-responses kor-bench bfcl-2024-08 metabench --seeds 0 1 2 3 4 5 6 7 8 9

Each of `--data` is a folder with the tables of a data set and its MiniLM vectors. All its questions are divided anew
for each seed, a fifth for the test and an eighth of the rest for validation, within categories, and a model is trained
with default settings. Then the test questions are routed among the LLMs that were observed on them, by the validated
threshold and by each answer's own bound: without costs, and with a made-up cost for each LLM that grows with its mean.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedllm_hf import EmbedLLM
from embedllm_hf._tables import format_table
from embedllm_hf.data.splits import split_questions
from embedllm_hf.encoding.encoded_responses import EncodedResponses
from embedllm_hf.evaluation.guarantee import KeptGuarantee, check_guarantee
from embedllm_hf.metrics.fixed_sequence import LEVEL, share_p_value
from embedllm_hf.new_llms.unseen_llms import train_on
from embedllm_hf.training.fit_bank import fit_bank
from scripts.benchmark_intervals import load

SHARES = (0.7, 0.8, 0.9)
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.125
HEADER = ["data", "choice", "min_success", "mode", "answered", "right", "mean cost", "below", "clearly", "fell back"]


@dataclass(frozen=True)
class Record:
    """What one promise gave on one division; `clearly_broken`: the share right is below it beyond the test's noise."""

    min_success: float
    strict: bool
    costs: bool
    kept: KeptGuarantee
    clearly_broken: bool


def trained(encoded: EncodedResponses, seed: int) -> tuple[EmbedLLM, EncodedResponses]:
    """A model with its bank, and the questions that were set apart for the test."""
    rest, test = split_questions(encoded.responses, TEST_SHARE, seed=seed)
    train, validation = (encoded.with_responses(part) for part in split_questions(rest, VALIDATION_SHARE, seed=seed))
    model = train_on(train, validation, seed)
    bank = fit_bank(model, train, validation, calibrate=False)
    return model.with_bank(bank), encoded.with_responses(test)


def made_costs(encoded: EncodedResponses) -> dict[str, float]:
    """A cost for each LLM: log-normal, its logarithm growing by 3 from a mean response of 0 to one of 1."""
    means = np.nanmean(encoded.responses.responses(), axis=0)
    logarithms = 3 * means + np.random.default_rng(0).normal(size=len(means))
    return dict(zip(encoded.responses.llm_names, np.exp(logarithms).tolist(), strict=True))


def measured(encoded: EncodedResponses, seed: int) -> Iterator[Record]:
    """Each promise in both modes, with and without costs, on one division."""
    model, test = trained(encoded, seed)
    logits, truth = model.predict_logits(test.question_embeds), test.responses.responses()
    for costs in (None, made_costs(encoded)):
        for min_success in SHARES:
            for strict in (False, True):
                kept = check_guarantee(model, logits, truth, min_success, costs, strict=strict)
                yield Record(min_success, strict, costs is not None, kept, is_clearly_broken(kept, truth))


def is_clearly_broken(kept: KeptGuarantee, truth: np.ndarray) -> bool:
    """Whether a one-sided 95% bound of the share right, exact as for single answers, is below what was promised."""
    if kept.share_right is None:
        return False
    n_answered = round(kept.share_answered * ((~np.isnan(truth)).sum(axis=1) >= 2).sum())
    wrong = np.arange(n_answered) >= round(kept.share_right * n_answered)
    return share_p_value(wrong, 1 - kept.min_success) < LEVEL


def rows_of(data: str, records: Sequence[Record]) -> list[list[str]]:
    """A row for each choice, promise and mode: means with standard errors over the divisions, and counts."""
    rows = []
    for costs in (False, True):
        for min_success in SHARES:
            for strict in (False, True):
                key = (min_success, strict, costs)
                mine = [one for one in records if (one.min_success, one.strict, one.costs) == key]
                kept = [one.kept for one in mine]
                right = [one.share_right for one in kept if one.share_right is not None]
                counts = [sum(share < min_success for share in right), sum(one.clearly_broken for one in mine)]
                fell_back = "" if strict else f"{sum(one.threshold is None for one in kept)}"
                choice, mode = "cheapest" if costs else "most probable", "strict" if strict else "validated"
                cells = [
                    _mean([one.share_answered for one in kept]),
                    _mean(right),
                    _mean([one.mean_cost for one in kept if one.mean_cost is not None]),
                    *(f"{n}/{len(mine)}" for n in counts),
                ]
                rows.append([data, choice, f"{min_success:g}", mode, *cells, fell_back])
    return rows


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "-"
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{np.mean(values):.3f} ± {error:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m scripts.guarantee", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each gives another division (default: 0)")
    parser.add_argument("--max_llms", type=int, default=300, help="of a data set, drawn at random (default: 300)")
    options = parser.parse_args(argv)
    rows = []
    for folder in options.data:
        encoded = load(folder, options.max_llms)
        records = [record for seed in options.seeds for record in measured(encoded, seed)]
        rows += rows_of(folder.name, records)
        print(format_table(HEADER, rows[-12:]), file=sys.stderr)
    print(format_table(HEADER, rows, markdown=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure the level and the power of `embedllm drift`, and try it on LLMs that are near each other: Markdown tables.

python -m scripts.drift --model runs/quickstart/model
python -m scripts.drift --model runs/quickstart/model --runs 100 --power_runs 50 --llms 4      # half a minute, not ten
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from scipy.special import expit, ndtri

from embedllm_hf import EmbedLLM, drift
from embedllm_hf._tables import format_table

from .simulate import World, dropped, first_alarms, fresh, redraw_chance

LEVEL, POWER = 0.05, 0.8
N_LEVEL, N_POWER = 500, 5000  # answers a run
PAIRS = (  # of open-llm-responses: the same weights served elsewhere, other precision, other training
    ("meta-llama/Meta-Llama-3.1-405B-Instruct", "sambanova/Meta-Llama-3.1-405B-Instruct"),
    ("meta-llama/Meta-Llama-3.1-405B-Instruct", "meta-llama/Meta-Llama-3.1-405B-Instruct-FP8"),
    ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B"),
    ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B"),
    ("meta-llama/Meta-Llama-3.1-70B-Instruct", "meta-llama/Meta-Llama-3.1-70B"),
    ("mistralai/Mistral-7B-Instruct-v0.2", "mistral-community/Mistral-7B-v0.2"),
)
HABITS = {"drawn anew": False, "98% the same": True}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of a model of open-llm-responses: the quick start's")
    parser.add_argument("--runs", type=int, default=10_000, help="for each false-alarm rate (default: 10000)")
    parser.add_argument("--power_runs", type=int, default=1000, help="for each number of answers (default: 1000)")
    parser.add_argument("--llms", type=int, help="only so many LLMs (default: all with enough recorded answers)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")
    options = parser.parse_args(argv)
    model = EmbedLLM.from_pretrained(options.model)
    print(real_table(model, options.seed), flush=True)
    print()
    world = World.of(model, options.seed)
    print(level_table(world, options.runs, options.llms, options.seed), flush=True)
    print()
    print(power_table(world, options.power_runs, options.llms, options.seed))
    return 0


def real_table(model: EmbedLLM, seed: int) -> str:
    """What `drift` says of an LLM if another one answers under its name, in a random order of questions."""
    bank, rows = model.bank, []
    for name, other in PAIRS:
        fresh_ones = bank.responses_of(model.llm_index(other))
        asked = np.random.default_rng(seed).permutation(np.flatnonzero(~np.isnan(fresh_ones)))
        report = drift(
            model, name, dict(zip(bank.question_ids[asked].tolist(), fresh_ones[asked].tolist(), strict=True))
        )
        same = 1 - report.n_different / report.n_compared
        after = "-" if report.alarm_after is None else f"{report.alarm_after:,}"
        change = f"{100 * report.change:+.1f} [{100 * report.low:+.1f}, {100 * report.high:+.1f}]"
        rows.append([name, other, report.verdict, after, f"{report.n_compared:,}", f"{same:.1%}", change])
    head = ["LLM", "who answers", "verdict", "after", "of", "graded the same", "change, points"]
    return format_table(head, rows, markdown=True, left=3)


def level_table(world: World, n_runs: int, n_llms: int | None, seed: int) -> str:
    """Share of runs with a false alarm, by how questions are chosen and how answers repeat."""
    llms = _with_answers(world, N_LEVEL * 3 // 2, n_llms)  # a quarter of them is not chosen from
    chosen = {"for drift": {llm: world.chosen(llm, N_LEVEL) for llm in llms}}
    chosen["by parameters with its own answers"] = {llm: world.misled(llm, N_LEVEL) for llm in llms}
    rows = []
    for choice in ("random", *chosen):
        for habit, repeats in HABITS.items():
            generator = np.random.default_rng([seed, len(rows)])
            alarms = []
            for llm in llms:
                shape = (-(-n_runs // len(llms)), N_LEVEL)
                if choice == "random":
                    rows_of = np.stack([generator.permutation(world.known_to(llm))[:N_LEVEL] for _ in range(shape[0])])
                else:
                    rows_of = np.tile(chosen[choice][llm], (shape[0], 1))
                before, recorded = expit(world.logits[rows_of, llm]), world.recorded[rows_of, llm]
                redrawn = redraw_chance(expit(world.logits[world.known_to(llm), llm]), repeats=repeats)
                answers = fresh(generator, recorded, before, before, redrawn)
                alarms.append(first_alarms(answers - recorded, LEVEL))
            found = np.isfinite(np.concatenate(alarms))
            rows.append([choice, habit, f"{len(found):,}", f"{found.mean():.2%}"])
    return format_table(["questions", "an answer, asked again", "runs", "false alarms"], rows, markdown=True, left=2)


def power_table(world: World, n_runs: int, n_llms: int | None, seed: int) -> str:
    """Answers until the alarm, by the kind and size of the drop, how answers repeat, and how questions are chosen."""
    llms = _with_answers(world, N_POWER * 3 // 2, n_llms)
    chosen = {llm: world.chosen(llm, N_POWER) for llm in llms}
    rows = []
    for kind, shifts in (("ability", world.shifts), ("alike", None)):
        for habit, repeats in HABITS.items():
            for points in (0.03, 0.10):
                taken: dict[str, list] = {"random": [], "for drift": [], "paired": [], "unpaired": []}
                generator = np.random.default_rng([seed, len(rows)])
                for llm in llms:
                    known = world.known_to(llm)
                    before, now = expit(world.logits[:, llm]), np.full(len(world.logits), np.nan)
                    now[known] = dropped(world.logits[known, llm], None if shifts is None else shifts[known], points)
                    redrawn = redraw_chance(before[known], repeats=repeats)
                    for choice, order in (("random", None), ("for drift", chosen[llm])):
                        for _ in range(-(-n_runs // len(llms))):
                            asked = generator.permutation(known)[:N_POWER] if order is None else order
                            recorded = world.recorded[asked, llm]
                            answers = fresh(generator, recorded, before[asked], now[asked], redrawn)
                            taken[choice].append(first_alarms((answers - recorded)[None], LEVEL)[0])
                    recorded = (generator.random((100, len(known))) < before[known]).astype(float)
                    differences = fresh(generator, recorded, before[known], now[known], redrawn) - recorded
                    taken["paired"].append(fixed_paired(differences))
                    taken["unpaired"].append(fixed_unpaired(before[known].mean(), now[known].mean()))
                ours = [
                    _count(np.quantile(taken[choice], share, method="higher"))
                    for choice in ("random", "for drift")
                    for share in (0.5, POWER)
                ]
                fixed = [_count(np.median(taken[name])) for name in ("paired", "unpaired")]
                rows.append([kind, habit, f"{100 * points:.0f}", *ours, *fixed])
    head = ["drop of", "an answer, asked again", "points", "random: median", "random: 80%", "for drift: median"]
    head += ["for drift: 80%", "fixed, same questions", "fixed, other questions"]
    return format_table(head, rows, markdown=True, left=2)


def fixed_paired(differences: np.ndarray) -> float:
    """Size of a fixed random sample whose paired test (McNemar's) sees the drop with 80% power, by the normal law."""
    return _REACH**2 * differences.var() / differences.mean() ** 2


def fixed_unpaired(before: float, now: float) -> float:
    """The same where the fresh score is compared with the recorded one, taken as known, not question by question."""
    spread = ndtri(1 - LEVEL / 2) * np.sqrt(before * (1 - before)) + ndtri(POWER) * np.sqrt(now * (1 - now))
    return spread**2 / (before - now) ** 2


_REACH = ndtri(1 - LEVEL / 2) + ndtri(POWER)


def _count(n: float) -> str:
    return f"{n:,.0f}" if np.isfinite(n) else f"> {N_POWER:,}"


def _with_answers(world: World, least: int, n_llms: int | None) -> list[int]:
    """LLMs that have recorded answers to `least` questions or more."""
    counts = (~np.isnan(world.recorded)).sum(axis=0)
    return np.flatnonzero(counts >= least)[:n_llms].tolist()


if __name__ == "__main__":
    sys.exit(main())

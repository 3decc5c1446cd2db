"""Routing: how good the LLM is that each way of choosing picks, and how many choices a second can be made.

Only LLMs that were asked a question can be chosen for it, so that each choice has a known outcome; questions that
fewer than two LLMs were asked are left out. Everything is fitted without the test split.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from embedllm_hf import metrics
from embedllm_hf.encoding.question_encoder import QuestionEncoder
from embedllm_hf.modeling_embedllm import EmbedLLM

from . import wording
from .figures import routing_figure
from .setting import PaperData, benchmarks_of, fit_knn, fit_llm_mean, fit_network, in_categories

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, TITLE = "routing", "Routing"
RANDOM, BEST, BEST_OF_BENCHMARK = "random LLM", "best single LLM", "best LLM of each benchmark"
KNN, NETWORK, ROUTER, ORACLE = "kNN", "EmbedLLM, network", "EmbedLLM", "oracle"
WAYS = (RANDOM, BEST, BEST_OF_BENCHMARK, KNN, NETWORK, ROUTER, ORACLE)
OVERALL = "overall"
# What the report compares beside "against the best single LLM".
_PAIRS = ((ROUTER, BEST_OF_BENCHMARK), (ROUTER, KNN), (NETWORK, BEST_OF_BENCHMARK), (NETWORK, KNN), (ROUTER, NETWORK))
_TIMED_QUESTIONS, _TIMED_TEXTS = 512, 64


def run(data: PaperData, progress: Callable[[str], None]) -> dict:
    """Route the test questions in every way, overall and by benchmark; then time it."""
    test = data.test.responses
    models = []
    for seed in data.settings.seeds:
        progress(f"seed {seed}")
        models.append(fit_network(data, seed=seed, blend=True))
    outcomes, by_seed = _outcomes(data, models)
    groups = {OVERALL: np.ones(test.n_questions, bool)}
    for benchmark, categories in test.benchmarks.items():
        groups[benchmark] = in_categories(test, categories)
    rows = []
    for group, members in groups.items():
        counted = members & ~np.isnan(outcomes[BEST])
        if not counted.any():
            continue
        for way in WAYS:
            gap = metrics.paired_difference(outcomes[way][counted], outcomes[BEST][counted])
            row = {"group": group, "way": way, "n_questions": int(counted.sum())}
            rows.append({**row, "accuracy": float(outcomes[way][counted].mean()), "over_best": gap.to_dict()})
    pairs = [
        {"way": way, "over": over, **metrics.paired_difference(outcomes[way], outcomes[over]).to_dict()}
        for way, over in _PAIRS
    ]
    progress("timing")
    speed = _measure_speed(data, models[0])
    n_asked = int(test.observed().sum(axis=1).max())
    return {"rows": rows, "pairs": pairs, "by_seed": by_seed, "speed": speed, "n_llms_a_question": n_asked}


def _outcomes(data: PaperData, models: list[EmbedLLM]) -> tuple[dict[str, np.ndarray], dict[str, list]]:
    """Response of each way's choice on each test question, NaN where it does not count; networks' mean over seeds."""
    embeds, truth = data.test.question_embeds, data.test.responses.responses()

    def routed(probs: np.ndarray) -> np.ndarray:
        return metrics.routed_responses(probs, truth)

    several = (~np.isnan(truth)).sum(axis=1) >= 2
    chance = np.full(len(truth), np.nan)
    chance[several] = np.nanmean(truth[several], axis=1)
    outcomes = {
        RANDOM: chance,
        BEST: routed(fit_llm_mean(data.train).predict_proba(embeds)),
        BEST_OF_BENCHMARK: routed(_benchmark_means(data)),
        KNN: routed(fit_knn(data.train, data.validation).predict_proba(embeds)),
        ORACLE: routed(np.nan_to_num(truth)),
    }
    seeds = {
        NETWORK: [routed(model.network_proba(embeds)) for model in models],
        ROUTER: [routed(model.predict_proba(embeds)) for model in models],
    }
    outcomes |= {way: np.mean(values, axis=0) for way, values in seeds.items()}
    return outcomes, {way: [float(np.nanmean(value)) for value in values] for way, values in seeds.items()}


def _benchmark_means(data: PaperData) -> np.ndarray:
    """Each LLM's training mean on the benchmark of each test question, `(n_questions, n_llms)`."""
    train, test = data.train, data.test
    probs = fit_llm_mean(train).predict_proba(test.question_embeds)
    for members in benchmarks_of([train.responses, test.responses]).values():
        part = train.select(in_categories(train.responses, members))
        if part.responses.n_observed:
            probs[in_categories(test.responses, members)] = fit_llm_mean(part).means
    return probs


# --- speed ---


def _measure_speed(data: PaperData, model: EmbedLLM) -> dict:
    """Choices a second from text vectors, in one batch and one by one, and with the text encoder before it."""
    vectors = np.resize(data.test.question_embeds, (_TIMED_QUESTIONS, model.config.text_dim))
    texts = [str(text) for text in data.test.responses.questions[:_TIMED_TEXTS]]
    seconds = {
        way: {"batch": _seconds(predict, vectors), "one by one": _seconds(predict, vectors, block=1)}
        for way, predict in ((NETWORK, model.network_proba), (ROUTER, model.predict_proba))
    }
    encoding, reason = _encoding_seconds(data.encoder_name, texts)

    def per_second(before: dict[str, float]) -> dict[str, dict[str, float]]:
        return {
            way: {how: 1 / (value + before.get(how, 0.0)) for how, value in parts.items()}
            for way, parts in seconds.items()
        }

    return {
        "per_second": per_second({}),
        "per_second_with_encoder": None if encoding is None else per_second(encoding),
        "no_encoder_because": reason,
        "encoder": data.encoder_name,
        "mean_text_length": float(np.mean([len(text) for text in texts])),
    }


def _seconds(predict: Callable[[np.ndarray], np.ndarray], vectors: np.ndarray, block: int | None = None) -> float:
    """Seconds a choice."""
    predict(vectors[:2])  # what is computed once, is
    block = block or len(vectors)
    began = time.perf_counter()
    for start in range(0, len(vectors), block):
        predict(vectors[start : start + block]).argmax(axis=1)
    return (time.perf_counter() - began) / len(vectors)


def _encoding_seconds(name: str, texts: list[str]) -> tuple[dict[str, float] | None, str | None]:
    """Seconds a text of an encoder with an empty cache; else why it cannot be measured."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            encoder = QuestionEncoder(name, cache_dir=folder)
            encoder.encode(["to load it"])
        except (OSError, ImportError) as error:
            return None, f"the text encoder `{name}` is not here ({type(error).__name__})"
        began = time.perf_counter()
        half = len(texts) // 2
        encoder.encode(texts[:half])
        middle = time.perf_counter()
        for text in texts[half:]:
            encoder.encode([text])
        done = time.perf_counter()
    return {"batch": (middle - began) / half, "one by one": (done - middle) / (len(texts) - half)}, None


# --- the report ---


def figures(result: dict) -> dict[str, Figure]:
    """The paper's bar chart."""
    return {"routing": routing_figure(result["rows"], WAYS, BEST)}


def markdown(result: dict) -> str:
    """Routing accuracy by benchmark with intervals, the comparisons, and the speed."""
    rows = {(row["group"], row["way"]): row for row in result["rows"]}
    groups = list(dict.fromkeys(row["group"] for row in result["rows"]))
    head = ["", *(f"{group} ({rows[group, BEST]['n_questions']:,})" for group in groups)]
    levels = [[way, *(f"{rows[group, way]['accuracy']:.4f}" for group in groups)] for way in WAYS]
    others = [way for way in WAYS if way != BEST]
    gaps = [[way, *(wording.with_interval(rows[group, way]["over_best"]) for group in groups)] for way in others]
    pairs = [[f"{row['way']} minus {row['over']}", wording.with_interval(row)] for row in result["pairs"]]
    spreads = ", ".join(f"{way} {wording.spread(values)}" for way, values in result["by_seed"].items())
    return wording.paragraphs(
        "Mean response of the chosen LLM on test questions that at least two LLMs were asked (how many, in "
        "brackets). Only LLMs that were asked can be chosen, so on sparse data the `best single LLM` is the one "
        "of them with the highest training mean, and so it is for each benchmark. `random LLM` is their mean.",
        wording.picture("routing", "Routing accuracy by benchmark and way of choosing"),
        wording.table(head, levels),
        f"Over seeds: {spreads}.",
        "Minus the best single LLM (95% interval, paired bootstrap over questions; each stands for itself, so of "
        "twenty one is expected to miss):",
        wording.table(["", *groups], gaps),
        "Further comparisons, over all questions:",
        wording.table(["", "difference (95% interval)"], pairs),
        _sentences(result, rows, groups),
        _speed_markdown(result["speed"]),
    )


def _sentences(result: dict, rows: dict, groups: list[str]) -> str:
    said = []
    for way in (ROUTER, NETWORK):
        found = wording.verdicts({group: rows[group, way]["over_best"] for group in groups}, "on {}")
        said.append(f"- **{way}** against the best single LLM: {found}.")
    said += [f"- **{row['way']}** against {row['over']}: {wording.verdict(row)}." for row in result["pairs"]]
    router, best, oracle = (rows[OVERALL, way]["accuracy"] for way in (ROUTER, BEST, ORACLE))
    if oracle > best:
        gap = rows[OVERALL, ROUTER]["over_best"]
        covered, low, high = (value / (oracle - best) for value in (router - best, gap["low"], gap["high"]))
        said.append(
            f"- Of the way from the best single LLM to the oracle, the router covers {covered:.1%} ({low:.1%} to "
            f"{high:.1%}, the length of the way taken as known)."
        )
    return "\n".join(said)


def _speed_markdown(speed: dict) -> str:
    with_encoder = speed["per_second_with_encoder"]
    rows = []
    for way, parts in speed["per_second"].items():
        for how, value in parts.items():
            after = "" if with_encoder is None else f"{with_encoder[way][how]:,.0f}"
            rows.append([f"{way}, {how}", f"{value:,.0f}", after])
    note = (
        f"Not measured with the encoder: {speed['no_encoder_because']}."
        if with_encoder is None
        else f"Encoder: `{speed['encoder']}`; the texts have {speed['mean_text_length']:.0f} characters on average."
    )
    head = ["Selections a second", "from text vectors", "from texts"]
    return wording.paragraphs(wording.table(head, rows), f"{note} Another section may have run beside it.")


def published(result: dict) -> list[dict]:
    """The paper's claims on routing beside ours."""
    speed = result["speed"]["per_second"]
    overall = next(row for row in result["rows"] if (row["group"], row["way"]) == (OVERALL, ROUTER))
    gap = overall["over_best"]
    return [
        wording.published_row(
            "The router beats the best single LLM",
            "shown as a bar chart",
            f"{overall['accuracy']:.4f}; over the best LLM {wording.judged(gap)}",
            "The order can be compared; here only LLMs that were asked a question can be chosen for it",
        ),
        wording.published_row(
            "Selections a second, without the text encoder",
            "more than 750",
            f"{speed[NETWORK]['one by one']:,.0f} one by one and {speed[NETWORK]['batch']:,.0f} in a batch (network); "
            f"{speed[ROUTER]['one by one']:,.0f} and {speed[ROUTER]['batch']:,.0f} with the blend",
            "Another machine, and another number of LLMs",
        ),
    ]

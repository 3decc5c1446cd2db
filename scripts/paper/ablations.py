"""Ablations: what each choice of the network is worth, and how it fares with fewer responses or fewer LLMs.

Choices (dimension, noise, encoder, biases) are compared on the validation split; the best of each is then measured on
the test split, once. How the network fares with fewer responses or LLMs is no choice, and is measured on the test
split. All networks are without the blend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from embedllm_hf import metrics
from embedllm_hf.configuration_embedllm import EmbedLLMConfig
from embedllm_hf.encoding.encoded_responses import EncodedResponses

from . import wording
from .figures import ablation_figure, masking_figure
from .scoring import accuracy_gap, by_method, joined_hits, scores, scores_by_seed
from .setting import PaperData, benchmarks_of, fit_knn, fit_llm_mean, fit_network, in_categories

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME, TITLE = "ablations", "Ablations"
DIMENSIONS, QUICK_DIMENSIONS = (8, 16, 32, 64, 128, 256, 512), (8, 64, 512)
NOISES, QUICK_NOISES = (0.0, 0.01, 0.02, 0.05, 0.1), (0.0, 0.05)
BIASES = {
    "both": (True, True),
    "LLM only": (True, False),
    "question only": (False, True),
    "none": (False, False),
}
HIDDEN_SHARES, QUICK_HIDDEN_SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9), (0.0, 0.5, 0.9)
DIMENSION, NOISE, ENCODER, BIAS = "embedding dimension", "input noise", "text encoder", "biases"
NETWORK, KNN, LLM_MEAN = "EmbedLLM, network", "kNN, k = 131", "LLM mean"
_FEWEST_LLMS = 2


def run(data: PaperData, progress: Callable[[str], None]) -> dict:
    """Run all ablations."""
    return {
        "seeds": list(data.settings.seeds),
        "choices": [_compare_choice(data, name, variants, progress) for name, variants in _choices(data).items()],
        "hidden": _hide_at_random(data, progress),
        "hidden_benchmarks": _hide_benchmarks(data, progress),
        "pool": _shrink_pool(data, progress),
    }


# --- choices ---


def _choices(data: PaperData) -> dict[str, dict[str, dict]]:
    """Variants of each choice by label: `config`, the fields that the choice is about, or `encoder`."""
    dimensions, noises = (QUICK_DIMENSIONS, QUICK_NOISES) if data.settings.quick else (DIMENSIONS, NOISES)
    choices: dict[str, dict[str, dict]] = {
        DIMENSION: {str(size): {"config": {"embed_dim": size}} for size in dimensions},
        NOISE: {f"{noise:g}": {"config": {"noise_std": noise}} for noise in noises},
        BIAS: {
            label: {"config": {"llm_bias": llm, "question_bias": question}}
            for label, (llm, question) in BIASES.items()
        },
    }
    if data.other_encoders:
        choices[ENCODER] = {name: {"encoder": name} for name in (data.encoder_name, *data.other_encoders)}
    return choices


def _is_default(data: PaperData, variant: dict) -> bool:
    """Whether a variant is the project's default, with the encoder of the data."""
    fields = variant.get("config", {})
    same = all(getattr(EmbedLLMConfig(), name) == value for name, value in fields.items())
    return same and variant.get("encoder", data.encoder_name) == data.encoder_name


def _compare_choice(
    data: PaperData, name: str, variants: dict[str, dict], progress: Callable[[str], None]
) -> dict[str, object]:
    """Each variant on the validation split, minus the default there; the best of them on the test split."""
    truths = {split: data.splits[split].responses.responses() for split in ("validation", "test")}
    predictions = {}
    for label, variant in variants.items():
        progress(f"{name}: {label}")
        predictions[label] = _predict(data, variant)
    default = next(label for label, variant in variants.items() if _is_default(data, variant))
    measured = {
        label: scores_by_seed(seeds["validation"], truths["validation"]) for label, seeds in predictions.items()
    }
    best = max(measured, key=lambda label: np.mean(measured[label]["auc"]))
    usual = predictions[default]["validation"]
    gaps = {
        label: accuracy_gap(seeds["validation"], usual, truths["validation"]) for label, seeds in predictions.items()
    }
    rows = [{"label": label, **found, "over_default": gaps[label]} for label, found in measured.items()]
    test = {
        label: scores_by_seed(predictions[label]["test"], truths["test"]) for label in dict.fromkeys((default, best))
    }
    gap = accuracy_gap(predictions[best]["test"], predictions[default]["test"], truths["test"])
    about = {"name": name, "ordered": name in (DIMENSION, NOISE)}
    return {**about, "default": default, "best": best, "rows": rows, "test": test, "test_over_default": gap}


def _predict(data: PaperData, variant: dict) -> dict[str, list[np.ndarray]]:
    """Probabilities of a variant on validation and test questions, one array a seed."""
    data = data.with_encoder(variant.get("encoder", data.encoder_name))
    models = [fit_network(data, seed=seed, config=variant.get("config")) for seed in data.settings.seeds]
    return {
        split: [model.network_proba(data.splits[split].question_embeds) for model in models]
        for split in ("validation", "test")
    }


# --- fewer responses ---


def _hide_at_random(data: PaperData, progress: Callable[[str], None]) -> list[dict]:
    """Network, kNN and LLM mean on the test split, with a share of the training responses hidden at random."""
    n_observed, truth = data.train.responses.n_observed, data.test.responses.responses()
    rows = []
    for share in QUICK_HIDDEN_SHARES if data.settings.quick else HIDDEN_SHARES:
        progress(f"{share:.0%} of the training responses hidden")

        def predict(seed: int, share: float = share) -> dict[str, np.ndarray]:
            return _predict_all(data, _hide(data.train, share, seed), seed)

        methods = by_method(data.settings.seeds, predict)
        for method, seeds in methods.items():
            gap = accuracy_gap(seeds, methods[KNN], truth)
            about = {"share": share, "n_responses": round(n_observed * (1 - share)), "method": method}
            rows.append({**about, **scores_by_seed(seeds, truth), "over_knn": gap})
    return rows


def _hide(train: EncodedResponses, share: float, seed: int) -> EncodedResponses:
    """Training responses without a random share of them."""
    kept = np.random.default_rng(seed).random(train.responses.n_observed) >= share
    return train.with_responses(train.responses.keep(kept))


def _predict_all(data: PaperData, train: EncodedResponses, seed: int) -> dict[str, np.ndarray]:
    """Network and baselines fitted on some training responses, on the test questions."""
    embeds = data.test.question_embeds
    return {
        NETWORK: fit_network(data, train, seed=seed).network_proba(embeds),
        KNN: fit_knn(train).predict_proba(embeds),
        LLM_MEAN: fit_llm_mean(train).predict_proba(embeds),
    }


def _hide_benchmarks(data: PaperData, progress: Callable[[str], None]) -> list[dict]:
    """Each benchmark hidden for a random half of its LLMs: forecasts of what those LLMs answer there.

    Only LLMs with answers on another benchmark can be hidden, since of the others nothing would be left.
    """
    train, test = data.train.responses, data.test.responses
    benchmarks = benchmarks_of([train, test])
    if len(benchmarks) < 2:
        return []
    seen = {seed: _predict_all(data, data.train, seed) for seed in data.settings.seeds}
    observed, truth = train.observed(), test.responses()
    rows = []
    for benchmark, categories in benchmarks.items():
        progress(f"{benchmark} hidden for half of its LLMs")
        inside, of_test = in_categories(train, categories), in_categories(test, categories)
        candidates = np.flatnonzero(observed[inside].any(axis=0) & observed[~inside].any(axis=0))
        records: dict[tuple[str, str], list] = {}
        for seed in data.settings.seeds:
            chosen = np.random.default_rng(seed).permutation(candidates)[: len(candidates) // 2]
            cells = np.ix_(of_test, chosen)
            if np.isnan(truth[cells]).all():
                continue
            hidden = inside[train.question_indices] & np.isin(train.llm_indices, chosen)
            blind = _predict_all(data, data.train.with_responses(train.keep(~hidden)), seed)
            for state, predictions in (("hidden", blind), ("seen", seen[seed])):
                for method, probs in predictions.items():
                    records.setdefault((method, state), []).append((probs[cells], truth[cells]))
        if records:
            about = {"benchmark": benchmark, "n_llms": len(candidates), "n_hidden": len(candidates) // 2}
            rows += [{**about, **_hidden_row(records, method)} for method in (NETWORK, KNN, LLM_MEAN)]
    return rows


def _hidden_row(records: dict[tuple[str, str], list], method: str) -> dict:
    """A method's accuracy and AUC seen and hidden, and what hiding costs, as an interval over questions."""
    hidden, seen = records[method, "hidden"], records[method, "seen"]
    cost = metrics.paired_difference(joined_hits(hidden), joined_hits(seen)).to_dict()
    return {"method": method, "seen": scores(seen), "hidden": scores(hidden), "cost": cost}


# --- fewer LLMs ---


def _shrink_pool(data: PaperData, progress: Callable[[str], None]) -> list[dict]:
    """The same few LLMs forecast by networks of ever larger pools around them; other few for each seed."""
    names = data.train.responses.llm_names
    sizes = sorted({size for part in (8, 4, 2, 1) if (size := len(names) // part) >= _FEWEST_LLMS})
    orders = [[names[llm] for llm in np.random.default_rng(s).permutation(len(names))] for s in data.settings.seeds]
    rows, base = [], None
    for size in sizes:
        progress(f"a pool of {size} LLMs")
        pairs = []
        for seed, order in zip(data.settings.seeds, orders, strict=True):
            model = fit_network(data, data.train.select(llms=order[:size]), seed=seed)
            probs = model.network_proba(data.test.question_embeds)[:, : sizes[0]]
            pairs.append((probs, data.test.responses.select(llms=order[: sizes[0]]).responses()))
        pairs = [pair for pair in pairs if not np.isnan(pair[1]).all()]
        hits = joined_hits(pairs)
        base = hits if base is None else base
        gap = metrics.paired_difference(hits, base).to_dict()
        rows.append({"n_llms": size, "n_judged": sizes[0], **scores(pairs), "over_smallest": gap})
    return rows


# --- the report ---


def figures(result: dict) -> dict[str, Figure]:
    """One figure of the choices, one of fewer responses and LLMs."""
    return {
        "ablations": ablation_figure(result["choices"]),
        "fewer-responses": masking_figure(result["hidden"], result["pool"]),
    }


def markdown(result: dict) -> str:
    """The tables, and what they show."""
    return wording.paragraphs(
        f"Networks without the blend, default settings but for what is named; mean and standard deviation over "
        f"{wording.counted(len(result['seeds']), 'seed')}. Gains in accuracy come with 95% intervals, paired "
        "bootstraps over questions.",
        "### Choices, on the validation split",
        wording.picture("ablations", "Validation AUC by embedding dimension, noise, biases and encoder"),
        *[_choice_markdown(choice) for choice in result["choices"]],
        "### Fewer responses, on the test split",
        wording.picture("fewer-responses", "Test AUC by share of hidden responses and by size of the pool"),
        _hidden_markdown(result["hidden"]),
        _benchmark_markdown(result["hidden_benchmarks"]),
        "### Fewer LLMs, on the test split",
        _pool_markdown(result["pool"]),
    )


def _choice_markdown(choice: dict) -> str:
    head = [choice["name"], "accuracy", "AUC", "accuracy gained over the default"]
    rows = [
        [
            f"{row['label']} (default)" if row["label"] == choice["default"] else row["label"],
            wording.spread(row["accuracy"]),
            wording.spread(row["auc"]),
            "" if row["label"] == choice["default"] else wording.with_interval(row["over_default"]),
        ]
        for row in choice["rows"]
    ]
    default, best = choice["default"], choice["best"]
    auc = {label: wording.spread(scores["auc"]) for label, scores in choice["test"].items()}
    if best == default:
        said = f"The default has the highest validation AUC; its test AUC is {auc[default]}."
    else:
        gap = choice["test_over_default"]
        said = (
            f"Highest validation AUC: {best}. On the test split its AUC is {auc[best]}, the default's {auc[default]}; "
            f"accuracy gained {wording.judged(gap)}."
        )
    return f"{wording.table(head, rows)}\n\n{said}"


def _hidden_markdown(rows: list[dict]) -> str:
    shares = list(dict.fromkeys(row["share"] for row in rows))
    cells = {(row["share"], row["method"]): row for row in rows}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    head = ["hidden", "responses left", *(f"AUC, {method}" for method in methods), "accuracy, network minus kNN"]
    lines = [
        [
            f"{share:.0%}",
            f"{cells[share, NETWORK]['n_responses']:,}",
            *(wording.spread(cells[share, method]["auc"]) for method in methods),
            wording.with_interval(cells[share, NETWORK]["over_knn"]),
        ]
        for share in shares
    ]
    said = wording.verdicts({f"{share:.0%}": cells[share, NETWORK]["over_knn"] for share in shares}, "with {} hidden")
    return f"{wording.table(head, lines)}\n\nThe network against kNN: {said}."


def _benchmark_markdown(rows: list[dict]) -> str:
    if not rows:
        return ""
    head = ["hidden benchmark", "method", "LLMs", "AUC seen", "AUC hidden", "accuracy hidden minus seen"]
    cells = [
        [
            row["benchmark"],
            row["method"],
            f"{row['n_hidden']} of {row['n_llms']}",
            wording.spread(row["seen"]["auc"]),
            wording.spread(row["hidden"]["auc"]),
            wording.with_interval(row["cost"]),
        ]
        for row in rows
    ]
    hurt = [row["benchmark"] for row in rows if row["method"] == NETWORK and wording.verdict(row["cost"]) == "worse"]
    total = len({row["benchmark"] for row in rows})
    said = f"Hiding costs the network accuracy, its interval below zero, on {len(hurt)} of {total} benchmarks."
    intro = (
        "A whole benchmark hidden in training for a random half of the LLMs that were asked it and another one, and "
        "those LLMs forecast there:"
    )
    return wording.paragraphs(intro, wording.table(head, cells, left=2), said)


def _pool_markdown(rows: list[dict]) -> str:
    head = ["LLMs in the pool", "accuracy", "AUC", "AUC gained", "accuracy gained over the smallest pool"]
    cells = [
        [
            str(row["n_llms"]),
            wording.spread(row["accuracy"]),
            wording.spread(row["auc"]),
            "" if row is rows[0] else wording.spread(np.subtract(row["auc"], rows[0]["auc"])),
            "" if row is rows[0] else wording.with_interval(row["over_smallest"]),
        ]
        for row in rows
    ]
    said = (
        f"The same {rows[0]['n_judged']} LLMs (others for each seed) are forecast by networks that were trained with "
        "more and more LLMs beside them. In accuracy, the whole pool against the smallest is "
        f"{wording.verdict(rows[-1]['over_smallest'])}."
    )
    return f"{said}\n\n{wording.table(head, cells)}"

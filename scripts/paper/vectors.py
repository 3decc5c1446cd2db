"""Part 4: what the LLM vectors know, beyond the answers that they were trained on.

Groups (family, size, kind) are compared by cosine distance of the vectors, less the pool's mean vector: a vector added
to all LLMs changes only how hard each question is. An LLM's bias is not looked at. Every test has two nulls: labels
shuffled among all LLMs, and among the LLMs that answered the same benchmarks. On sparse data these also differ in who
was evaluated where, so only what survives the second null is a finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from embedllm_hf.data.llm_table import params_of
from embedllm_hf.modeling_embedllm import EmbedLLM

from . import wording
from .disagreement import (
    COSINE,
    EUCLIDEAN,
    EXPECTED,
    LOGITS,
    centred_cosine_distances,
    disagreement_markdown,
    distance_and_disagreement,
)
from .permutation import (
    chance_range,
    correct,
    distance_gap,
    neighbour_agreement,
    p_value,
    probe_accuracy,
    shuffles,
    silhouette,
)
from .refits import PUBLISHED_FLIPS, refit_markdown, refit_row, refits
from .score_table import ScoreTable
from .setting import PaperData, fit_network
from .vector_figures import disagreement_figure, group_figure, refit_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "vectors"
TITLE = "What the vectors know"

MIN_MEMBERS = 3  # of a group, to be compared
SIZES = ((10, "below 10 billion"), (50, "10 to 50 billion"), (np.inf, "50 billion or more"))
GAP, NEIGHBOURS, SILHOUETTE, PROBE = "distance gap", "3 nearest neighbours", "silhouette", "linear probe"
ANSWERED = "answered benchmarks"


def run(data: PaperData, progress: Callable[[str], None]) -> dict:
    """Groups, distance against disagreement, and refits; see the module."""
    progress("training")
    seeds = data.settings.seeds
    models = [fit_network(data, seed=seed) for seed in seeds]
    patterns = ScoreTable.of(data).answered()
    facts = llm_groups(data)
    tests = []
    for fact, labels in facts.items():
        progress(f"groups: {fact}")
        tests += group_tests(models, fact, labels, patterns, data.settings.n_permutations)
    for null in ("p_free", "p_strata"):
        correct(tests, null, f"{null}_holm")
    progress("groups: which benchmarks were answered")
    control = group_tests(models, ANSWERED, large_groups(patterns), None, data.settings.n_permutations)
    progress("distance and disagreement")
    agreement = distance_and_disagreement(data, models[0], patterns)
    return {
        "n_llms": models[0].config.n_llms,
        "n_permutations": data.settings.n_permutations,
        "facts": {fact: dict(Counter(label for label in labels if label)) for fact, labels in facts.items()},
        "patterns": dict(Counter(patterns)),
        "tests": tests,
        "control": control,
        "agreement": agreement,
        "refits": refits(data, models, progress),
    }


def llm_groups(data: PaperData) -> dict[str, list[str]]:
    """Group of each LLM by fact; empty text where it is not known or fewer than three LLMs share it."""
    table = data.llms or {}
    rows = [table.get(name, {}) for name in data.train.responses.llm_names]
    facts = {
        "family": [row.get("family", "") for row in rows],
        "size": [size_class(params_of(row)) for row in rows],
        "kind": [row.get("kind", "") for row in rows],
    }
    facts = {fact: large_groups(labels) for fact, labels in facts.items()}
    return {fact: labels for fact, labels in facts.items() if len(set(labels) - {""}) > 1}


def large_groups(labels: list[str]) -> list[str]:
    """The labels that three LLMs or more share; empty text for the rest."""
    sizes = Counter(labels)
    return [label if sizes[label] >= MIN_MEMBERS else "" for label in labels]


def size_class(billions: float) -> str:
    """Name of the size class; empty for NaN."""
    return next((name for limit, name in SIZES if billions < limit), "")


def group_tests(
    models: list[EmbedLLM], fact: str, labels: list[str], strata: list[str] | None, n_permutations: int
) -> list[dict]:
    """All measures of one fact, on the vectors of the first network; the others show how much a seed changes.

    Args:
        models (`list[EmbedLLM]`): The same data from several seeds.
        fact (`str`): What is tested.
        labels (`list[str]`): Group of each LLM, empty if it takes no part.
        strata (`list[str]`, *optional*): Stratum of each LLM; without it there is the free null only.
        n_permutations (`int`): Of a test; the probe takes a quarter, since it is fitted anew for each.

    Returns:
        `list[dict]`: `fact`, `measure`, `n_llms`, `value`, `by_seed`, the mean and the 95% range of free chance
        (`chance`, `chance_low`, `chance_high`), `p_free`; with strata also `chance_strata` and `p_strata`.
    """
    chosen = np.flatnonzero([bool(label) for label in labels])
    if len(set(np.array(labels)[chosen])) < 2:
        return []
    codes = np.unique(np.array(labels)[chosen], return_inverse=True)[1]
    orders = {"free": shuffles(len(chosen), n_permutations)}
    if strata is not None:
        orders["strata"] = shuffles(len(chosen), n_permutations, np.array(strata)[chosen])
    vectors = [model.llm_embeds.astype(np.float64) for model in models]
    distances = [centred_cosine_distances(each)[np.ix_(chosen, chosen)] for each in vectors]
    measures: dict[str, tuple[Callable, list[np.ndarray], int]] = {
        GAP: (distance_gap, distances, n_permutations),
        NEIGHBOURS: (neighbour_agreement, distances, n_permutations),
        SILHOUETTE: (silhouette, distances, n_permutations),
        PROBE: (probe_accuracy, [each[chosen] for each in vectors], max(n_permutations // 4, 100)),
    }
    found = []
    for measure, (function, each_seed, n_orders) in measures.items():
        by_seed = [float(function(given, codes[None])[0]) for given in each_seed]
        row = {"fact": fact, "measure": measure, "n_llms": len(chosen), "value": by_seed[0], "by_seed": by_seed}
        for null, shuffled in orders.items():
            chance = function(each_seed[0], codes[shuffled[:n_orders]])
            row[f"p_{null}"] = p_value(by_seed[0], chance)
            row |= chance_range(chance, "" if null == "free" else f"_{null}")
        found.append(row)
    return found


# --- the report ---


def figures(result: dict) -> dict[str, Figure]:
    """Groups, disagreement, refits; each where there was something to measure."""
    found = {"vectors_refits": refit_figure(result["refits"], PUBLISHED_FLIPS)}
    if result["tests"]:
        found["vectors_groups"] = group_figure(result["tests"], result["control"])
    agreement = result["agreement"]
    if agreement["rows"]:
        shown = [row for row in agreement["rows"] if row["distance"] in agreement["pairs"]]
        values = {
            row["distance"]: {name.capitalize(): row["raw"][name]["value"] for name in ("pearson", "spearman")}
            for row in shown
        }
        found["vectors_disagreement"] = disagreement_figure(agreement["pairs"], values)
    return found


def markdown(result: dict) -> str:
    """Groups, distance against disagreement, refits."""
    return wording.paragraphs(
        _groups_markdown(result), disagreement_markdown(result["agreement"]), refit_markdown(result["refits"])
    )


def _groups_markdown(result: dict) -> str:
    """The table of tests, and what survives which null."""
    heading = "### Are LLMs of one family, size or kind alike?"
    if not result["tests"]:
        return f"{heading}\n\nNothing is known of the LLMs (no table of LLMs), or no group has {MIN_MEMBERS} of them."
    groups = "; ".join(
        f"{fact}: {', '.join(f'{name} {size}' for name, size in sizes.items())}"
        for fact, sizes in result["facts"].items()
    )
    head = ["Fact", "Measure", "LLMs", "Measured", "Seeds", "Chance, all shuffled (95%)", "p (Holm)"]
    head += ["Chance, same benchmarks (95%)", "p (Holm)"]
    rows = [_test_cells(test) for test in [*result["tests"], *result["control"]]]
    return wording.paragraphs(
        heading,
        f"Groups of at least {MIN_MEMBERS} LLMs ({groups}). *Distance gap*: mean cosine distance between groups "
        "less that within them. *3 nearest neighbours*: share that is of the same group. *Linear probe*: "
        "multinomial logistic regression, five-fold cross-validated, mean over the groups of the share of LLMs "
        "recognised. *Seeds*: lowest to highest of the trainings. p-values are of "
        f"{result['n_permutations']:,} shuffles (the probe: a quarter), corrected by Holm over the table's "
        f"{len(result['tests'])} tests; one null shuffles among all LLMs, the other among those that answered the "
        "same benchmarks. The last rows are a control: which benchmarks an LLM answered, as if that were a fact "
        "about it.",
        wording.table(head, rows, left=2),
        wording.picture("vectors_groups", "Each measure beside what shuffled labels give"),
        _group_sentences(result),
    )


def _test_cells(test: dict) -> list[str]:
    def chance(suffix: str) -> str:
        if f"chance{suffix}" not in test:
            return "-"
        low, high = test[f"chance_low{suffix}"], test[f"chance_high{suffix}"]
        return f"{test[f'chance{suffix}']:.3f} ({low:.3f} to {high:.3f})"

    def corrected(null: str) -> str:
        return f"{test[f'{null}_holm']:.3f}" if f"{null}_holm" in test else f"{test.get(null, float('nan')):.4f}"

    seeds = f"{min(test['by_seed']):.3f} to {max(test['by_seed']):.3f}"
    cells = [test["fact"], test["measure"], str(test["n_llms"]), f"{test['value']:.3f}", seeds, chance("")]
    return [*cells, corrected("p_free"), chance("_strata"), corrected("p_strata") if "p_strata" in test else "-"]


def _group_sentences(result: dict) -> str:
    """Which facts are found beside which null."""
    lines = []
    for fact in result["facts"]:
        tests = [test for test in result["tests"] if test["fact"] == fact]
        free, strata = (
            [test["measure"] for test in tests if test[f"{null}_holm"] < 0.05] for null in ("p_free", "p_strata")
        )
        beside = f"by {wording.listed(strata)}" if strata else "by no measure"
        lines.append(
            f"*{fact.capitalize()}*: closer than chance {'by ' + wording.listed(free) if free else 'by no measure'} "
            f"when all LLMs are shuffled, and {beside} among LLMs that answered the same benchmarks."
        )
    if len(result["tests"]) / (1 + result["n_permutations"]) >= 0.05:
        lines.append("So few shuffles cannot show anything beyond chance after Holm's correction.")
    if result["control"]:
        gap = next(test for test in result["control"] if test["measure"] == GAP)
        largest = max(test["value"] for test in result["tests"] if test["measure"] == GAP)
        word = "more" if gap["value"] > largest else "less"
        lines.append(
            f"Which benchmarks an LLM answered tells its direction {word} than any of these facts (distance gap "
            f"{gap['value']:.2f} against at most {largest:.2f})"
            + (
                ", so the first null alone would mistake who was evaluated where for kinship."
                if word == "more"
                else "."
            )
        )
    return "\n".join(f"- {line}" for line in lines)


def published(result: dict) -> list[dict]:
    """LOCUS's figures beside ours."""
    rows = [refit_row(result["refits"])]
    if result["agreement"]["rows"]:
        found = {row["distance"]: row["raw"]["pearson"] for row in result["agreement"]["rows"]}
        ours = ", ".join(f"{name}: {found[name]['value']:.3f}" for name in (EUCLIDEAN, COSINE, LOGITS, EXPECTED))
        about = "LOCUS: its own vectors, every LLM answered every question. Ours are EmbedLLM's, the bias left out of "
        about += "the first two; on sparse data a vector's direction also tells what its LLM was asked"
        text = "Distance follows disagreement (LOCUS, Pearson)"
        rows.append(wording.published_row(text, "0.887 (Euclidean)", ours, about))
    return rows

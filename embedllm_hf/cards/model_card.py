"""The model card: the model, its use, its results, its limits.

A card is a function of the configuration, the content of `metrics.json` and the LLM vectors. Every number comes from
there, and a value that is not known leaves its line out. The text is `model_card.md`; `huggingface_hub` builds the
metadata, with the results that the Hub shows.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .. import plots
from .._checks import brief
from .._files import whole_file
from ..configuration_embedllm import OFFLINE_ENCODER, EmbedLLMConfig
from . import text as card_text
from .citation import CITATION

logger = logging.getLogger(__name__)

CARD_FILE, RELIABILITY_FILE, MAP_FILE = "README.md", "reliability.png", "llm_map.png"
LIBRARY = "embedllm_hf"
# The Hub takes only tasks of its own list. The nearest one: a text goes in, and each LLM of the pool, as each class
# of a classifier, gets a probability. Our own `llm-routing` is a tag instead.
TASK, TASK_NAME = "text-classification", "Which LLM answers a question correctly"
TAGS = ("embedllm", "llm-routing", "llm-forecasting", "llm-evaluation")
_QUESTION = "What is 17 * 23?"
_MOST_NAMES = 500  # that are listed
_PLACEHOLDER = "path/to/model"
_TEMPLATE = Path(__file__).with_name("model_card.md")


def write_model_card(
    folder: str | Path,
    config: EmbedLLMConfig,
    metrics: Mapping | None,
    llm_embeds: np.ndarray,
    *,
    repo_id: str | None = None,
    benchmarks: Sequence[str] = (),
    without_answers: Collection[str] = (),
) -> None:
    """Write the card and its pictures into a folder.

    A picture is left out if there is nothing to draw, or matplotlib is not installed. A card or a picture that cannot
    be made is a warning: the model is worth more.

    Args:
        llm_embeds (`np.ndarray` of shape `(n_llms, embed_dim)`): The LLM vectors, for the map.
        folder, config, metrics, repo_id, benchmarks, without_answers: An existing folder, and the arguments of
            `model_card`.
    """
    folder = Path(folder)
    about: dict[str, Any] = {"repo_id": repo_id, "benchmarks": benchmarks, "without_answers": without_answers}
    try:
        pictures = _draw(folder, config, metrics or {}, llm_embeds)
        card = model_card(config, metrics, pictures=pictures, **about)
        with whole_file(folder / CARD_FILE) as partial:
            partial.write_text(card.content, encoding="utf-8", newline="\n")
    except Exception as error:  # of whatever kind
        logger.warning("%s: no model card is written (%s).", folder / CARD_FILE, _named(error))


def is_our_card(path: Path) -> bool:
    """Whether a `README.md` is a card that was written here, and not the user's own text."""
    return path.is_file() and f"library_name: {LIBRARY}" in path.read_text(encoding="utf-8", errors="replace")


def _draw(folder: Path, config: EmbedLLMConfig, metrics: Mapping, llm_embeds: np.ndarray) -> list[str]:
    """Save the pictures that can be drawn, and return the names of the files."""
    drawable = {}
    if metrics.get("reliability"):
        drawable[RELIABILITY_FILE] = lambda: plots.reliability_figure(metrics["reliability"])
    if config.n_llms >= plots.MIN_LLMS_ON_MAP and np.isfinite(llm_embeds).all() and np.ptp(llm_embeds, axis=0).any():
        drawable[MAP_FILE] = lambda: plots.llm_map_figure(llm_embeds, config.llm_names)
    drawn = []
    for name, draw in drawable.items():
        try:
            plots.save_png(draw(), folder / name)
            drawn.append(name)
        except ImportError as error:
            logger.info("The model card has no pictures: %s", error)
            break
        except Exception as error:  # of whatever kind
            logger.warning("%s: the picture is left out of the model card (%s).", folder / name, _named(error))
    return drawn


def _named(error: Exception) -> str:
    """An error's kind and text, for a line."""
    return brief(f"{type(error).__name__}: {error}")


def model_card(
    config: EmbedLLMConfig,
    metrics: Mapping | None,
    *,
    repo_id: str | None = None,
    pictures: Sequence[str] = (RELIABILITY_FILE, MAP_FILE),
    benchmarks: Sequence[str] = (),
    without_answers: Collection[str] = (),
) -> ModelCard:
    """Build the card, text and metadata.

    Args:
        config (`EmbedLLMConfig`): Sizes, names, encoder.
        metrics (`Mapping`, *optional*): Content of `metrics.json`, or what is known of it.
        repo_id (`str`, *optional*): Where the model lives on the Hub. Default: a path that the reader replaces.
        pictures (`Sequence[str]`): Pictures that stand beside the card.
        benchmarks (`Sequence[str]`): Benchmarks that the model can forecast; the first is in the example.
        without_answers (`Collection[str]`): LLMs of which the model knows no answer.
    """
    metrics = metrics or {}
    dataset, oracle = metrics.get("dataset") or {}, metrics.get("oracle") or {}
    scores = card_text.predictor_scores(metrics)
    title = repo_id.split("/")[-1] if repo_id else "EmbedLLM"
    names, unknown = config.llm_names[:_MOST_NAMES], set(without_answers)
    content = _template().render(
        title=title,
        config=config,
        names=names,
        n_more=config.n_llms - len(names),
        without_answers=unknown,
        example=_example(name for name in config.llm_names if name not in unknown),
        benchmark=_example(benchmarks),
        question=_QUESTION,
        path=repo_id or _PLACEHOLDER,
        path_comment="" if repo_id else "  # the folder of this card, or its id on the Hub",
        requirement=f"{LIBRARY}[offline]" if config.encoder_name == OFFLINE_ENCODER else LIBRARY,
        encoder=card_text.describe_encoder(config),
        form=card_text.describe_form(config),
        map_picture=MAP_FILE if MAP_FILE in pictures else None,
        reliability_picture=RELIABILITY_FILE if RELIABILITY_FILE in pictures else None,
        measured_on=card_text.measured_on(dataset),
        results=card_text.results_table(scores, oracle),
        predictor_notes=card_text.predictor_notes([*scores, *(["oracle"] if oracle else [])]),
        gains=_gain_lines(metrics),
        guarantee=card_text.guarantee_text(metrics.get("guarantee") or {}),
        by_benchmark=card_text.benchmark_table(metrics.get("benchmarks") or {}),
        dataset=card_text.dataset_lines(dataset),
        training=card_text.training_lines(metrics),
        citation=CITATION,
    )
    data = card_data(config, metrics, model_name=title)
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{content.strip()}\n")


def _example(names: Iterable[str]) -> str | None:
    """The first name that can stand in a command line as it is: short, and of signs that print."""
    return next((name for name in names if name.isprintable() and len(name) <= card_text.LONGEST_SHOWN), None)


def _gain_lines(metrics: Mapping) -> list[str]:
    """Gains over the best baselines, and routing over the best LLM where that is another one."""
    gains, over_llm = metrics.get("gains") or {}, metrics.get("routing_over_best_llm")
    lines = card_text.gain_lines(gains)
    if over_llm and over_llm["over"] != (gains.get("routing_accuracy") or {}).get("over"):
        lines += card_text.gain_lines({"routing_accuracy": over_llm})
    return lines


def _template() -> jinja2.Template:
    """The card's template; tags leave no blank lines, and an unknown variable is an error."""
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # the output is Markdown; names go through `code`
    )
    python = partial(json.dumps, ensure_ascii=False)  # a string literal, in double quotes
    environment.globals.update(code=card_text.code, python=python, shell=shlex.quote)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))


# --- metadata ---


def card_data(config: EmbedLLMConfig, metrics: Mapping, *, model_name: str) -> ModelCardData:
    """The metadata block, with the results in the form that the Hub shows."""
    base_model = card_text.base_model_of(config)
    dataset = metrics.get("dataset") or {}
    results = _eval_results(metrics.get(card_text.MODEL) or {}, dataset)
    # Of the Hub's relations: a small trained part over a base that stays as it is, or the base trained further.
    relation = "finetune" if config.encoder_digest else "adapter"
    return ModelCardData(
        library_name=LIBRARY,
        pipeline_tag=TASK,
        tags=list(TAGS),
        license="apache-2.0",
        base_model=base_model,
        base_model_relation=relation if base_model else None,
        datasets=[dataset["id"]] if card_text.is_on_hub(dataset) else None,  # a folder's name could be another's id
        model_name=model_name if results else None,
        eval_results=results or None,
    )


def _eval_results(scores: Mapping, dataset: Mapping) -> list[EvalResult]:
    """One result a metric; none if the data set is not known, since the Hub asks for it."""
    if not dataset.get("id"):
        return []
    return [
        EvalResult(
            task_type=TASK,
            task_name=TASK_NAME,
            dataset_type=brief(dataset["id"]),
            dataset_name=brief(dataset["id"]),
            dataset_split=_brief(dataset.get("split")),
            dataset_revision=_brief(dataset.get("revision")),
            metric_type=hub_id,
            metric_name=heading,
            metric_value=round(scores[key], 4),
        )
        for key, heading, hub_id, _ in card_text.METRICS
        if scores.get(key) is not None
    ]


def _brief(text: str | None) -> str | None:
    return None if text is None else brief(text)

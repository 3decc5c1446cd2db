"""embedllm_hf: a pool of large language models as compact vectors, learned from who answered what correctly.

Words, one per thing, everywhere:

- `model`: the `EmbedLLM` network with its bank. An `llm` is a language model that is described by a vector.
- `question`: a prompt; `question_embeds` `(n_questions, text_dim)` are its text vectors, from an `encoder`.
- `response`: 1 right, 0 wrong, between for graded answers; missing where it was never observed.
- `bank`: the questions that the pool has answered, with vectors, responses, item parameters and the weights of the
  stacked predictor; a question of it is a known question.
- `benchmark`, `category`: a set of questions that a score is reported for; a part of it.
- `logits`: log odds of a right answer; probabilities are made once, at the end.
- `new LLM`: one that is placed from a few answers (`onboard`); a `probe` is a question put to it in order to place it.
- `route`: choose an LLM for a question. `forecast`: predict a score.
- `guarantee`: what `min_success` states: of the answers without a `flag` at least this share is right; the promise is
  about them all together, or, `strict`, about each.

Every 2-D array is `(n_questions, n_llms)`. The flow, and the folders that carry it:

    metrics, hub -> logs -> data -> encoding -> network, bank -> item_response -> predictors -> plots, cards
    -> EmbedLLM -> inference -> evaluation -> training -> new_llms -> cli

The public names are resolved on first use, so that `import embedllm_hf` loads no heavy package.
"""

import importlib

__version__ = "0.1.0"

_MODULE_OF = {
    "EmbedLLM": "modeling_embedllm",
    "EmbedLLMConfig": "configuration_embedllm",
    "EmbedLLMTrainer": "training.trainer",
    "EmbedLLMTrainingArguments": "training.arguments",
    "EncodedResponses": "encoding.encoded_responses",
    "Forecaster": "inference.forecaster",
    "Leaderboard": "inference.leaderboard",
    "QuestionEncoder": "encoding.question_encoder",
    "ResponseMatrix": "data.responses",
    "Router": "inference.router",
    "RoutingPolicy": "inference.policy",
    "TokenPrice": "data.llm_table",
    "add": "new_llms.adding",
    "ask_until": "new_llms.probing",
    "cost_report": "evaluation.cost_report",
    "drift": "new_llms.drift",
    "drift_probes": "new_llms.drift_probes",
    "evaluate_model": "evaluation.measure",
    "load_responses": "data.sources",
    "load_splits": "data.sources",
    "onboard": "new_llms.onboarding",
    "portfolio": "inference.portfolio",
    "probe": "new_llms.probing",
    "read_logs": "data.evaluation_logs",
    "refine": "new_llms.onboarding",
    "similar_llms": "inference.similar",
}
# Whoever takes one of these may go on to `transformers.pipeline("llm-routing", ...)`: the pipelines are registered
# along with them, like AutoConfig and AutoModel. Here, since the model's module may not import what is built on it.
_WITH_PIPELINES = ("EmbedLLM", "EmbedLLMConfig", "Forecaster", "Router")
__all__ = [*_MODULE_OF, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    if name in _WITH_PIPELINES:
        importlib.import_module(".inference.pipelines", __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

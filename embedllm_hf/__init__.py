"""embedllm_hf: a pool of large language models as compact vectors, learned from who answered what correctly.

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
    "evaluate_model": "evaluation.report",
    "load_responses": "data.sources",
    "load_splits": "data.sources",
    "onboard": "new_llms.onboarding",
    "portfolio": "inference.portfolio",
    "probe": "new_llms.probing",
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

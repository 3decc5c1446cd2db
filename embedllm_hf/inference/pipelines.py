"""transformers pipelines over `Router` and `Forecaster`: `pipeline("llm-routing")` and `pipeline("llm-forecasting")`.

Importing this module registers both tasks; so does taking `EmbedLLM` or another class of a model from `embedllm_hf`.
There is no logic of routing or forecasting in here. There is no tokenizer either: the text encoder is the one that
the model was trained with, on the pipeline's device.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from torch.utils.data import Dataset
from transformers import AutoModel
from transformers.pipelines import PIPELINE_REGISTRY, Pipeline

from .._checks import shorten
from .._errors import InputError, InputTypeError
from ..encoding.question_encoder import QuestionEncoder
from ..modeling_embedllm import EmbedLLM
from .forecaster import Forecaster
from .policy import RoutingPolicy
from .router import Router

_STREAM_SIZE = 64  # texts that are encoded at once from a stream


class _TextPipeline(Pipeline):
    """What both pipelines share: an `EmbedLLM`, its encoder, and inputs that are scored together, not one by one."""

    model: EmbedLLM
    _OPTIONS: ClassVar[tuple[str, ...]] = ()  # of a call
    # The parent's hints say that these are None.
    _load_tokenizer = _load_processor = _load_feature_extractor = _load_image_processor = _load_video_processor = False

    def __init__(self, model: EmbedLLM, *args: Any, encoder: QuestionEncoder | None = None, **kwargs: Any):
        if not isinstance(model, EmbedLLM):
            raise InputTypeError(
                f"`model` is a `{type(model).__name__}`, expected an `EmbedLLM`, or the id or folder of one."
            )
        kwargs.pop("local_files_only", None)  # `pipeline` has used it, and hands it on nevertheless
        super().__init__(model, *args, **kwargs)
        if encoder is None and model.encoder.device is None:
            model.encoder.device = str(self.device)
        self._build(encoder)

    def _build(self, encoder: QuestionEncoder | None) -> None:
        raise NotImplementedError

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        unknown = options.keys() - set(self._OPTIONS)
        if unknown:
            raise InputTypeError(f"unknown option {shorten(unknown)}, expected some of {shorten(self._OPTIONS, 20)}.")
        return {}, options, {}

    def __call__(
        self, inputs: Any, *args: Any, num_workers: int | None = None, batch_size: int | None = None, **options: Any
    ) -> Any:
        """Score one input, or many of them.

        Args:
            inputs: One input gives one `dict`; a list or another sequence gives a list, scored together; a generator
                or a `torch` data set gives an iterator.
            num_workers (`int`, *optional*): Taken as other pipelines do; no process is started.
            batch_size (`int`, *optional*): Inputs of an iterator that are scored together. Default: 64.
            options: See the class.
        """
        if isinstance(inputs, Sequence | np.ndarray) and not isinstance(inputs, str | Dataset):
            inputs = list(inputs)
            if not inputs:
                return []
        return super().__call__(inputs, *args, batch_size=batch_size or self._batch_size or _STREAM_SIZE, **options)

    def preprocess(self, input_: Any, **options: Any) -> dict[str, Any]:
        """Leave the inputs as they are: they are encoded together, through the encoder's cache."""
        return {"inputs": input_}

    def postprocess(self, model_outputs: Any, **options: Any) -> Any:
        """Leave the results as they are."""
        return model_outputs

    def run_single(self, inputs: Any, *params: Any) -> Any:
        """Score one input: a batch of one."""
        return super().run_single([inputs], *params)[0]

    def get_iterator(self, inputs: Any, num_workers: int, batch_size: int, *params: Any) -> Iterator[dict]:
        """Score many inputs: a list at once, a stream in batches."""
        # A data set of `torch` need not be iterable, only indexable.
        sized = isinstance(inputs, Dataset) and hasattr(inputs, "__len__")
        items = iter(inputs[index] for index in range(len(inputs))) if sized else iter(inputs)
        size = len(inputs) if isinstance(inputs, list) else batch_size
        while batch := list(islice(items, size)):
            yield from super().run_single(batch, *params)

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save the model, which is all there is to save; takes the arguments of `EmbedLLM.save_pretrained`."""
        self.model.save_pretrained(save_directory, **kwargs)

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:
        """Push the model; takes the arguments of `EmbedLLM.push_to_hub`."""
        return self.model.push_to_hub(*args, **kwargs)


class RoutingPipeline(_TextPipeline):
    """`pipeline("llm-routing")`: question in, chosen LLM out, as `RoutingDecision.to_dict()`.

    Args:
        model (`EmbedLLM`): A trained model; through `pipeline` also its Hub id or folder.
        encoder (`QuestionEncoder`, *optional*): Default: the one that the model was trained with.
        policy (`RoutingPolicy`, *optional*): Who may answer, costs, guarantee.
        options: Those of `Router.__call__` (`llms=[...]`, for instance), here for all calls or at a call for that one.

    Raises:
        TypeError: If the model is no `EmbedLLM`, or an option is unknown.

    Example:
        >>> route = pipeline("llm-routing", model="runs/quickstart/model")
        >>> route("What is 17 multiplied by 23?")["llm"]
        'openai/o1-mini-2024-09-12'
    """

    _OPTIONS = ("policy", "top_k", "explain", *RoutingPolicy.__dataclass_fields__)

    def _build(self, encoder: QuestionEncoder | None) -> None:
        self.router = Router(self.model, encoder)

    def _forward(self, input_tensors: Any, **options: Any) -> Any:
        return [decision.to_dict() for decision in self.router(input_tensors["inputs"], **options)]


class ForecastingPipeline(_TextPipeline):
    """`pipeline("llm-forecasting")`: how well one LLM will do, on a question or on a benchmark.

    An input is

    - a question (`str`), and gives `AnswerForecast.to_dict()`: the `probability` of a right answer, with its interval;
    - `{"benchmark": name}`, a benchmark that the model knows some questions of, and gives `ScoreForecast.to_dict()`:
      the expected `accuracy` with its interval `low`, `high`, and the counts behind it;
    - `{"questions": [...]}`, one's own questions, and gives the same for their mean.

    Args:
        model, encoder: As for `RoutingPipeline`.
        llm (`str`, *optional*): Name of an LLM of the pool, here for all calls or at a call for that one.
        known_only (`bool`, *optional*): As for `Forecaster.benchmark`; given as `llm` is.

    Raises:
        TypeError: If the model is no `EmbedLLM`, or an option is unknown.

    Example:
        >>> forecast = pipeline("llm-forecasting", model="runs/quickstart/model", llm="openai/gpt-4o-2024-08-06")
        >>> forecast("What is 17 multiplied by 23?")["probability"] > 0.5
        True
    """

    _OPTIONS = ("llm", "known_only")

    def _build(self, encoder: QuestionEncoder | None) -> None:
        self.forecaster = Forecaster(self.model, encoder)

    def preprocess(self, input_: Any, **options: Any) -> dict[str, Any]:
        """Refuse what is no question and no benchmark, before anything is encoded."""
        for given in input_:
            target = set(given) if isinstance(given, dict) else None
            if not isinstance(given, str) and target not in ({"benchmark"}, {"questions"}):
                raise InputError(
                    f"an input is {str(given)[:80]!r}, expected a question's text, "
                    '{"benchmark": name} or {"questions": [text, ...]}.'
                )
        return super().preprocess(input_)

    def _forward(self, input_tensors: Any, **options: Any) -> Any:
        llm = options.get("llm")
        if llm is None:
            known = shorten(self.model.config.llm_names, 3)
            raise InputError(f"`llm` is missing, expected one of {known}. Pass it to the call or to the pipeline.")
        inputs = input_tensors["inputs"]
        texts = [given for given in inputs if isinstance(given, str)]
        answers = iter(self.forecaster.answers(llm, texts) if texts else ())
        known_only = options.get("known_only", False)
        return [
            next(answers).to_dict() if isinstance(given, str) else self._mean(llm, known_only, **given)
            for given in inputs
        ]

    def _mean(
        self, llm: str, known_only: bool, benchmark: str | None = None, questions: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The expected mean over a benchmark, or over questions."""
        if benchmark is not None:
            return self.forecaster.benchmark(llm, benchmark, known_only=known_only).to_dict()
        return self.forecaster.questions(llm, questions).to_dict()


class _NoDefaultModel:
    """In the place where `pipeline` looks for the id and revision of a task's default model: there is none."""

    def __iter__(self) -> Iterator[str]:
        raise InputError('`model` is missing: pass the Hub id or folder of a trained model, `model="runs/base"` say.')


for _task, _class in (("llm-routing", RoutingPipeline), ("llm-forecasting", ForecastingPipeline)):
    _default: dict[str, Any] = {"model": _NoDefaultModel()}
    PIPELINE_REGISTRY.register_pipeline(_task, _class, pt_model=AutoModel, default=_default, type="text")

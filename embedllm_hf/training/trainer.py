"""`EmbedLLMTrainer`: the whole recipe, in Python as on the command line."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from huggingface_hub import CommitInfo

from .._errors import InputError, UserError
from ..data.responses import ResponseMatrix
from ..data.splits import split_questions, unseen_questions
from ..data.texts import is_withheld
from ..encoding.encoded_responses import EncodedResponses, encode_responses
from ..evaluation.measure import evaluate_model
from ..evaluation.report import EvaluationReport
from ..modeling_embedllm import EmbedLLM
from .arguments import EmbedLLMTrainingArguments
from .checkpoints import TrainingHistory
from .encoder_trainer import TextEncoderTrainer
from .fit_bank import fit_bank
from .network_trainer import NetworkTrainer, check_llms, check_split
from .processes import part, process_state
from .runs import check_output_dir, digest_of_tensors, drop_checkpoints, end_of, may_hold_model, note_end, run_in

logger = logging.getLogger(__name__)

Dataset = ResponseMatrix | EncodedResponses


class EmbedLLMTrainer:
    """Encodes questions, trains an `EmbedLLM` in place, fits its bank, saves it, measures it.

    Under `accelerate launch` all processes train, and the main one does the rest: on the others `evaluate` and
    `push_to_hub` do nothing and return None, and the model has no bank.

    Args:
        model (`EmbedLLM`): From `EmbedLLM.from_encoder`, or one that is to be trained again.
        args (`EmbedLLMTrainingArguments`): How, and the folder of the model.
        train_dataset (`ResponseMatrix` or `EncodedResponses`): Training responses, LLMs as in the model. Without text
            vectors they are encoded with the model's encoder, through its cache.
        eval_dataset (`ResponseMatrix` or `EncodedResponses`, *optional*): Validation responses: they choose the best
            epoch and calibrate the forecasts, so questions whose texts are in `train_dataset` are left out, with a
            warning. Default, and where nothing is left: a share of the training questions is set aside for it.

    Raises:
        ValueError: If the LLMs are not the model's, a split has no responses, vectors are of another encoder, or
            the text encoder is to be trained without validation responses.
        FileExistsError: If the output folder holds a model that may not be overwritten.

    Example:
        >>> trainer = EmbedLLMTrainer(model, args, train_dataset=data.train, eval_dataset=data.validation)
        >>> history = trainer.train()
        >>> print(trainer.evaluate(data.test))
    """

    def __init__(
        self,
        model: EmbedLLM,
        args: EmbedLLMTrainingArguments,
        *,
        train_dataset: Dataset,
        eval_dataset: Dataset | None = None,
    ) -> None:
        check_output_dir(args.output_dir, may_hold_model=may_hold_model(args))
        self.model, self.args = model, args
        self.history: TrainingHistory | None = None
        self.seconds: float | None = None
        _check(model, train_dataset, "train_dataset")
        if eval_dataset is not None:
            _check(model, eval_dataset, "eval_dataset")
            eval_dataset = _unseen(eval_dataset, train_dataset)
        if eval_dataset is None and args.validation_share > 0:
            rest, taken = split_questions(_responses(train_dataset), args.validation_share, seed=args.seed)
            train_dataset, taken_dataset = _with(train_dataset, rest), _with(train_dataset, taken)
            eval_dataset = _unseen(taken_dataset, train_dataset)
        if args.train_encoder and any(map(is_withheld, _responses(train_dataset).questions)):
            raise InputError(
                "`train_encoder` needs the texts of the questions, and the data set withholds them. Train with the "
                "vectors that it brings, without this option."
            )
        if eval_dataset is None and args.train_encoder:
            raise InputError("`train_encoder` needs an `eval_dataset`, or a `validation_share` above 0.")
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset

    @property
    def is_main_process(self) -> bool:
        """Whether this process of a launch does what is one process's work: the bank, files, measuring."""
        return process_state().is_main_process

    def train(self) -> TrainingHistory:
        """Encode, train, fit the bank and save the model to `args.output_dir`.

        Returns:
            `TrainingHistory`: Losses by epoch, and which was kept.
        """
        with run_in(self.args):
            return self._train()

    def _train(self) -> TrainingHistory:
        model, args, state = self.model, self.args, process_state()
        with state.main_process_first():  # the others find its work in the cache
            train = self._encode(self.train_dataset)
            validation = None if self.eval_dataset is None else self._encode(self.eval_dataset)
        if model.config.encoder_revision is None:
            model.config.encoder_revision = model.encoder.revision
        self.train_dataset, self.eval_dataset = train, validation
        frozen, network, text_trainer = model.encoder, NetworkTrainer(model, args, train, validation), None
        ended = end_of(args, network.run)
        if ended is not None and self._take_over(ended):
            assert self.history is not None
            return self.history
        if args.train_encoder and validation is not None:  # made now, since it may refuse
            text_trainer = TextEncoderTrainer(model, args, train.responses, validation.responses)
        self.history = network.train()
        self.seconds = self.history.seconds
        if text_trainer is not None:
            self.seconds += text_trainer.train().seconds
        part(state)  # the rest is one process's work
        if self.is_main_process:
            if model.encoder is not frozen and validation is not None:  # the vectors at hand are the frozen one's
                train, validation = self._encode(train.responses), self._encode(validation.responses)
            self.train_dataset, self.eval_dataset = train, validation
            model._set_bank(fit_bank(model, train, validation))
            self._save()
            self._note_end(network.run)
        return self.history

    def evaluate(self, dataset: Dataset, **options: Any) -> EvaluationReport | None:
        """Measure the model beside the baselines; the report is kept with the model and in its folder.

        Args:
            dataset (`ResponseMatrix` or `EncodedResponses`): Labelled questions, a test split for instance.
            options: As for `evaluate_model`.
        """
        if not self.is_main_process:
            return None
        seconds = None if self.seconds is None else round(self.seconds, 2)
        options = {"train_seconds": seconds, "seed": self.args.seed, **options}
        report = evaluate_model(self.model, self._encode(dataset), **options)
        self.model.metrics = report.to_dict()
        if self.history is not None:
            self._save()
        return report

    def push_to_hub(self, repo_id: str, **options: Any) -> CommitInfo | None:
        """Upload the model, with the arguments of `EmbedLLM.push_to_hub`; returns the commit."""
        if not self.is_main_process:
            return None
        return self.model.push_to_hub(repo_id, **{"remote_code": self.args.remote_code, **options})

    def _note_end(self, run: dict[str, Any]) -> None:
        """Leave what a resumed run has to know in order to give this model."""
        assert self.history is not None
        record = {"weights": digest_of_tensors(self.model.state_dict()), "seconds": self.seconds}
        note_end(self.args, run, {**record, "history": self.history.to_dict()})

    def _take_over(self, ended: Mapping[str, Any]) -> bool:
        """Take the model of the run that is resumed and has ended already; False if it is no longer there."""
        try:
            saved = EmbedLLM.from_pretrained(self.args.output_dir)
        except UserError:
            return False
        if digest_of_tensors(saved.state_dict()) != ended["weights"]:
            return False
        if self.is_main_process:
            drop_checkpoints(self.args)  # killed while it dropped them
        logger.warning("%s: this run has ended already; its model is taken as it is.", self.args.output_dir)
        self.model.load_state_dict(saved.state_dict())
        self.model.eval()
        if saved.config.encoder_digest is not None:
            self.model._set_encoder(saved.encoder)
        self.model._set_bank(saved.bank)
        self.model.metrics = saved.metrics
        self.history, self.seconds = TrainingHistory(), ended["seconds"]
        self.history.update(ended["history"])
        return True

    def _encode(self, dataset: Dataset) -> EncodedResponses:
        show = self.is_main_process and not self.args.disable_tqdm
        return encode_responses(dataset, self.model.encoder, show_progress=show)

    def _save(self) -> None:
        self.model.save_pretrained(self.args.output_dir, remote_code=self.args.remote_code)


def _check(model: EmbedLLM, dataset: Dataset, name: str) -> None:
    """Refuse other LLMs than the model's, and text vectors of another encoder."""
    if isinstance(dataset, EncodedResponses):
        check_split(model, dataset, name)
    else:
        check_llms(model, dataset, name)


def _unseen(dataset: Dataset, train_dataset: Dataset) -> Dataset | None:
    """The questions whose texts are not trained on, since no others tell how well a forecast is; None without any."""
    responses = _responses(dataset)
    unseen = unseen_questions(responses, _responses(train_dataset).keys)
    if unseen.n_questions == responses.n_questions:
        return dataset
    logger.warning(
        "%d of %d questions of `eval_dataset` are left out: their texts are in `train_dataset`.",
        responses.n_questions - unseen.n_questions,
        responses.n_questions,
    )
    return _with(dataset, unseen) if unseen.n_questions else None


def _responses(dataset: Dataset) -> ResponseMatrix:
    return dataset.responses if isinstance(dataset, EncodedResponses) else dataset


def _with(dataset: Dataset, responses: ResponseMatrix) -> Dataset:
    """Some of a data set's questions, with their vectors if it has them."""
    return dataset.with_responses(responses) if isinstance(dataset, EncodedResponses) else responses

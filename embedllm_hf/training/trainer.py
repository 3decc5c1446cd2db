"""`EmbedLLMTrainer`: the whole recipe, in Python as on the command line."""

from __future__ import annotations

from .._errors import InputError
from ..data.responses import ResponseMatrix
from ..data.splits import split_questions
from ..encoding.encoded_responses import EncodedResponses, encode_responses
from ..evaluation.report import EvaluationReport, evaluate_model
from ..modeling_embedllm import EmbedLLM, save_whole
from .arguments import EmbedLLMTrainingArguments
from .checkpoints import TrainingHistory, check_output_dir
from .encoder_trainer import TextEncoderTrainer
from .fit_bank import fit_bank
from .network_trainer import NetworkTrainer, check_llms
from .processes import process_state

Dataset = ResponseMatrix | EncodedResponses


class EmbedLLMTrainer:
    """Encodes questions, trains an `EmbedLLM` in place, fits its bank, saves it, measures it.

    Args:
        model (`EmbedLLM`): From `EmbedLLM.from_encoder`, or one that is to be trained again.
        args (`EmbedLLMTrainingArguments`): How, and the folder of the model.
        train_dataset (`ResponseMatrix` or `EncodedResponses`): Training responses, LLMs as in the model. Without text
            vectors they are encoded with the model's encoder, through its cache.
        eval_dataset (`ResponseMatrix` or `EncodedResponses`, *optional*): Validation responses: they choose the best
            epoch and calibrate the forecasts. Default: a share of the training questions is set aside for it.

    Raises:
        ValueError: If the LLMs are not the model's, a split has no responses, or vectors are of another encoder.
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
        check_output_dir(args)
        self.model, self.args = model, args
        self.history: TrainingHistory | None = None
        self.seconds: float | None = None
        self._state = process_state()
        check_llms(model, _responses(train_dataset), "train_dataset")
        if eval_dataset is None and args.validation_share > 0:
            rest, taken = split_questions(_responses(train_dataset), args.validation_share, seed=args.seed)
            train_dataset, eval_dataset = _with(train_dataset, rest), _with(train_dataset, taken)
        if eval_dataset is not None:
            check_llms(model, _responses(eval_dataset), "eval_dataset")
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset

    @property
    def is_main_process(self) -> bool:
        """Whether this process of a launch does what is one process's work: the bank, files, measuring."""
        return self._state.is_main_process

    def train(self) -> TrainingHistory:
        """Encode, train, fit the bank and save the model to `args.output_dir`.

        Returns:
            `TrainingHistory`: Losses by epoch, and which was kept.
        """
        model, args = self.model, self.args
        model.metrics = None  # of other weights
        train = self._encode(self.train_dataset)
        validation = None if self.eval_dataset is None else self._encode(self.eval_dataset)
        if model.config.encoder_revision is None:
            model.config.encoder_revision = model.encoder.revision
        self.history = NetworkTrainer(model, args, train, validation).train()
        self.seconds = self.history.seconds
        if args.train_encoder:
            self.seconds += self._train_encoder(train, validation)
        self._state.destroy_process_group()  # the rest is one process's work
        if self.is_main_process:
            if model.config.trained_encoder is not None:
                train = self._encode(train.responses)
                validation = None if validation is None else self._encode(validation.responses)
            model._set_bank(fit_bank(model, train, validation))
            self._save()
        return self.history

    def evaluate(self, dataset: Dataset, **options: object) -> EvaluationReport:
        """Measure the model beside the baselines; the report is kept with the model and in its folder.

        Args:
            dataset (`ResponseMatrix` or `EncodedResponses`): Labelled questions, a test split for instance.
            options: As for `evaluate_model`.
        """
        report = evaluate_model(
            self.model,
            self._encode(dataset),
            train_seconds=None if self.seconds is None else round(self.seconds, 2),
            seed=self.args.seed,
            **options,
        )
        self.model.metrics = report.to_dict()
        if self.history is not None:
            self._save()
        return report

    def push_to_hub(self, repo_id: str, **options: object) -> object:
        """Upload the model; takes the arguments of `EmbedLLM.push_to_hub` and returns the commit."""
        return self.model.push_to_hub(repo_id, remote_code=self.args.remote_code, **options)

    def _encode(self, dataset: Dataset) -> EncodedResponses:
        show = self.is_main_process and not self.args.disable_tqdm
        with self._state.main_process_first():  # the others find its work in the cache
            return encode_responses(dataset, self.model.encoder, show_progress=show)

    def _train_encoder(self, train: EncodedResponses, validation: EncodedResponses | None) -> float:
        """Train the text encoder too; returns the seconds that it took."""
        if validation is None:
            raise InputError("`train_encoder` needs an `eval_dataset`, or a `validation_share` above 0.")
        trainer = TextEncoderTrainer(self.model, self.args, train.responses, validation.responses)
        return trainer.train().seconds

    def _save(self) -> None:
        save_whole(self.model, self.args.output_dir, remote_code=self.args.remote_code)


def _responses(dataset: Dataset) -> ResponseMatrix:
    return dataset.responses if isinstance(dataset, EncodedResponses) else dataset


def _with(dataset: Dataset, responses: ResponseMatrix) -> Dataset:
    """Some of a data set's questions, with their vectors if it has them."""
    return dataset.with_responses(responses) if isinstance(dataset, EncodedResponses) else responses

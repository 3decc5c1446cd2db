"""A tiny text encoder in sentence-transformers' form, made here, for tests that train one.

It reads any text letter by letter, and the topics of `pool` as words. At the start it is nearly blind to them: their
token vectors are almost the same, so only training tells the topics well apart.
"""

import string
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from .pool import TOPICS

WIDTH = 16


def save_tiny_encoder(folder: Path) -> Path:
    """Write the encoder into a folder, and return it."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *TOPICS,
        *letters,
        *(f"##{letter}" for letter in letters),
    ]
    base = folder / "base"
    base.mkdir(parents=True)
    (base / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(base / "vocab.txt")).save_pretrained(base)
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    bert = BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **sizes))
    with torch.no_grad():
        words = bert.embeddings.word_embeddings.weight
        topics = [vocabulary.index(topic) for topic in TOPICS]
        words[topics[1]] = 0.5 * words[topics[1]] + 0.5 * words[topics[0]]
    bert.save_pretrained(base)
    encoder = SentenceTransformer(modules=[Transformer(str(base), max_seq_length=32), Pooling(WIDTH)], device="cpu")
    encoder.save_pretrained(str(folder / "encoder"), create_model_card=False)
    return folder / "encoder"

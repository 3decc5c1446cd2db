"""Two data sets to one: names brought together, texts withheld."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from embedllm_hf import ResponseMatrix, load_splits
from embedllm_hf.data.files import EMBEDDED, ORDER_FILE, VECTORS_FILE
from embedllm_hf.data.llm_table import read_llm_table
from embedllm_hf.data.splits import without_overlap
from embedllm_hf.data.texts import withheld_texts
from embedllm_hf.encoding.embeddings_file import save_embeddings
from embedllm_hf.encoding.encoded_responses import EncodedResponses

LLMS = Path(__file__).with_name("llms.csv")
_VECTORS = "question_embeddings.all-MiniLM-L6-v2.safetensors"
_NOT_SHIPPED = ("also_named", "why")
ID_STEP = 100_000  # from one source's `prompt_id` to the next one's


def canonical_names(path: Path = LLMS) -> dict[str, str]:
    """The LLM that each name of the sources stands for."""
    table = read_llm_table(path)
    names = {name: name for name in table}
    return names | {other: name for name, facts in table.items() for other in facts["also_named"].split()}


def renamed(responses: ResponseMatrix, names: Mapping[str, str], id_offset: int = 0) -> ResponseMatrix:
    """A source's responses under the LLMs' one name each, by name, with ids of their own.

    Raises:
        KeyError: If a name is not in the table.
    """
    table = responses.to_long()
    labels = table["model_name"].combine_chunks()
    dictionary = pa.array([names[name] for name in labels.dictionary.to_pylist()])
    ids = pa.array(table["prompt_id"].to_numpy() + id_offset)
    table = table.drop_columns(["model_id", "model_name", "prompt_id"])
    llms = pa.DictionaryArray.from_arrays(labels.indices, dictionary)
    return ResponseMatrix.from_long(table.append_column("model_name", llms).append_column("prompt_id", ids))


def load_sources(folders: Sequence[Path], names: Mapping[str, str]) -> list[dict[str, EncodedResponses]]:
    """The splits of each source with their text vectors, LLMs under one name each, ids made distinct."""
    sources = []
    for number, folder in enumerate(folders):
        splits = {}
        for split, responses in load_splits(folder).items():
            encoded = EncodedResponses.from_file(responses, folder / _VECTORS)
            again = renamed(responses, names, number * ID_STEP)
            order = np.argsort(responses.question_ids, kind="stable")
            splits[split] = EncodedResponses(again, encoded.question_embeds[order], encoded.encoder)
        sources.append(splits)
    return sources


def of_pool(encoded: EncodedResponses, llm_names: Sequence[str]) -> EncodedResponses:
    """The same questions for a larger pool, whose other LLMs have answered none of them."""
    again = ResponseMatrix.from_long(encoded.responses.to_long().drop_columns("model_id"), llm_names=llm_names)
    return EncodedResponses(again, encoded.question_embeds, encoded.encoder)


def merge(sources: Sequence[Mapping[str, EncodedResponses]]) -> dict[str, EncodedResponses]:
    """The splits of all sources in one pool; a text that several hold is kept in the first split that has it."""
    pool = sorted({name for source in sources for name in source["train"].responses.llm_names})
    splits = {
        split: EncodedResponses.concat([of_pool(source[split], pool) for source in sources]) for split in sources[0]
    }
    kept = without_overlap({split: encoded.responses for split, encoded in splits.items()})
    return {split: splits[split].with_responses(responses) for split, responses in kept.items()}


def write(splits: Mapping[str, EncodedResponses], folder: Path = EMBEDDED) -> None:
    """Write the data set's folder, all but its README."""
    folder.mkdir(parents=True, exist_ok=True)
    responses = [encoded.responses for encoded in splits.values()]
    for split, one in zip(splits, responses, strict=True):
        pq.write_table(_table(one), folder / f"{split}.parquet", compression="zstd", compression_level=19)
    embeds = np.concatenate([encoded.question_embeds for encoded in splits.values()])
    ids, keys = (np.concatenate([getattr(one, name) for one in responses]) for name in ("question_ids", "keys"))
    encoder = splits["train"].encoder
    assert encoder is not None
    save_embeddings(folder / VECTORS_FILE, embeds, ids, encoder, keys, int8=True)
    names = responses[0].llm_names
    _write_csv(folder / ORDER_FILE, [("model_id", "model_name"), *enumerate(names)])
    facts = read_llm_table(LLMS)
    columns = [name for name in next(iter(facts.values())) if name not in _NOT_SHIPPED]
    _write_csv(folder / "llms.csv", [columns, *([facts[name][column] for column in columns] for name in names)])


def _table(responses: ResponseMatrix) -> pa.Table:
    """A split in long form, the hashes of its texts in their place."""
    table = replace(responses, questions=withheld_texts(responses.keys)).to_long().drop_columns("label_contradictory")
    if responses.counts.max(initial=1) == 1:
        table = table.drop_columns("label_count")
    if not (responses.values % 1).any():
        position = table.column_names.index("label")
        table = table.set_column(position, "label", pa.array(responses.values.astype(np.int8)))
    return table


def _write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")

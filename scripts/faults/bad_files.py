"""Damage every kind of file that the library reads, and look at what it makes of them.

python -m scripts.faults.bad_files                              # 1,000 damaged files of each kind
python -m scripts.faults.bad_files --trials 60000 --kinds "bank,answers.csv" --seed 1

A trial changes one file: bits flipped, bytes zeroed, cut, put in twice, exchanged, or a word of it replaced by one
that readers stumble over. Then the reader has to refuse it in one line that is for the user, or to give what it gave
before. Files of numbers have hashes, so that nothing else can come of them; `forged` ones have been given the right
hash, as a stranger could, and tables of text are the user's own: of these other content may come, but no other error.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import quietly, summary

_ROOM = 3 << 30  # of address space, of which libraries take two thirds when they are used
_WORDS = (
    *(b"NaN", b"-1", b"1e999", b"-9223372036854775809", b"18446744073709551616", b"null", b"true", b"[]", b"{}"),
    *(b'""', b"[" * 100_000, b'{"a":' * 50_000, b"\x00", b"\xff\xfe", b"\xed\xa0\xbd", b"\r", b"\n\n", b'"', b",,,,"),
    *(b"../../etc/passwd", b"\x1b[31m", b"0", b"99999999", "\u2028".encode()),
)


@dataclass
class Kind:
    """A kind of file.

    Attributes:
        name (`str`): Of the kind.
        file (`str`): The file that is damaged, in the folder that is read.
        read (`Callable[[Path], bytes]`): Reads the folder, and gives all that was read as bytes.
        whole (`bool`): Whether anything but what was written has to be refused.
        forge (`Callable[[Path], None] | None`): Makes the hashes right again, after the damage.
    """

    name: str
    file: str
    read: Callable[[Path], bytes]
    whole: bool
    forge: Callable[[Path], None] | None = None


@dataclass
class Tally:
    """What came of the damaged files of one kind."""

    kind: str
    files: int = 0
    refused: int = 0
    equal: int = 0
    other: int = 0
    lost: list[str] = field(default_factory=list)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content with one to three damages."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice((1, 1, 4, 64, 4096)))
        piece = content[start:end]
        match chance.randrange(7):
            case 0 if piece:
                content = content[:start] + bytes([piece[0] ^ (1 << chance.randrange(8))]) + content[start + 1 :]
            case 1:
                content = content[:start] + bytes(len(piece)) + content[end:]
            case 2:
                content = content[:start]
            case 3:
                content = content[:end] + piece + content[end:]
            case 4:
                content = content[:start] + content[end:]
            case 5:
                content = _word_replaced(content, chance)
            case _:
                other = chance.randrange(len(content) + 1)
                content = content[:start] + content[other : other + len(piece)] + content[end:]
    return content


def _word_replaced(content: bytes, chance: random.Random) -> bytes:
    """One of the words of a text, or some bytes, replaced by one that readers stumble over."""
    start = chance.randrange(len(content) + 1)
    end = start
    while end < len(content) and content[end : end + 1] not in (b",", b"\n", b":", b"}", b"]", b'"'):
        end += 1
    return content[:start] + chance.choice(_WORDS) + content[min(end, start + 100) :]


def try_kind(kind: Kind, folder: Path, *, trials: int, seed: int) -> Tally:
    """Damage a file again and again, and read it."""
    tally, chance, path = Tally(kind.name), random.Random(f"{seed} {kind.name}"), folder / kind.file
    content, expected = path.read_bytes(), kind.read(folder)
    kept = {other: other.read_bytes() for other in folder.rglob("*") if other.is_file()}
    for trial in range(trials):
        changed = damaged(content, chance)
        if changed == content:
            continue
        path.write_bytes(changed)
        tally.files += 1
        wrong = try_once(kind, folder, expected, tally)
        if wrong is not None:
            tally.lost.append(f"trial {trial}: {wrong}"[:300])
        for other, before in kept.items():
            if not other.is_file() or other.read_bytes() != before:
                other.write_bytes(before)
    return tally


def try_once(kind: Kind, folder: Path, expected: bytes, tally: Tally) -> str | None:
    """Read a damaged file and count what came of it; what went wrong, if anything did."""
    from embedllm_hf._errors import UserError

    try:
        if kind.forge is not None:
            kind.forge(folder)
        found = kind.read(folder)
    except UserError as error:
        tally.refused += 1
        return None if len(str(error).splitlines()) == 1 else f"{type(error).__name__} of other than one line"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
    tally.equal += found == expected
    tally.other += found != expected
    return "other content was read" if kind.whole and found != expected else None


# --- what is read ---


def kinds(folder: Path) -> Iterator[tuple[Kind, Path]]:
    """Every kind of file, each with the folder that it is in."""
    yield from _model_kinds(folder / "model")
    yield from _encoder_kinds(folder / "encoder")
    yield from _table_kinds(folder / "tables")
    yield from _log_kinds(folder / "logs")


def _model_kinds(folder: Path) -> Iterator[tuple[Kind, Path]]:
    from embedllm_hf import EmbedLLM
    from embedllm_hf._manifest import seal
    from tests.pool import make_split, trained_model

    model = trained_model(folder.parent / "training")
    model.metrics = {"dataset": {"id": "user/data", "split": "test"}, "embedllm": {"accuracy": 0.75}, "seed": 0}
    model.save_pretrained(folder)
    embeds = make_split(9, first_id=200).question_embeds

    def read(folder: Path) -> bytes:
        found = EmbedLLM.from_pretrained(folder)
        return found.predict_proba(embeds).tobytes() + repr((found.metrics, found.config.to_dict())).encode()

    def forge(folder: Path) -> None:
        with contextlib.suppress(ValueError):  # what is no JSON any more cannot be forged
            seal(folder, [name for name in names if name != "config.json"])

    names = ("model.safetensors", "bank.safetensors", "metrics.json", "config.json")
    for name in names:
        yield Kind(name, name, read, whole=True), folder
        yield Kind(f"{name}, forged", name, read, whole=False, forge=forge), folder


def _encoder_kinds(folder: Path) -> Iterator[tuple[Kind, Path]]:
    from embedllm_hf import QuestionEncoder
    from embedllm_hf.configuration_embedllm import EncoderId
    from embedllm_hf.data.texts import question_keys, text_key
    from embedllm_hf.encoding.cache import VectorCache
    from embedllm_hf.encoding.embeddings_file import read_embeddings, save_embeddings
    from embedllm_hf.encoding.guest import encoder_digest
    from tests.tiny_encoder import save_tiny_encoder

    encoder = save_tiny_encoder(folder)
    identity = EncoderId("tiny", digest=encoder_digest(encoder))

    def load(folder: Path) -> bytes:
        return QuestionEncoder.of_model(identity, folder)._encode(["some text"]).tobytes()

    def load_any(folder: Path) -> bytes:
        return QuestionEncoder(str(folder))._encode(["some text"]).tobytes()

    for name in ("modules.json", "config.json", "sentence_bert_config.json", "tokenizer.json", "model.safetensors"):
        yield Kind(f"encoder's {name}", name, load, whole=True), encoder
        yield Kind(f"encoder's {name}, a stranger's", name, load_any, whole=False), encoder
    made, ids = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32), np.arange(40)
    texts = [f"text {number}" for number in ids]
    save_embeddings(folder / "vectors" / "vectors.safetensors", made, ids, identity, question_keys(texts))

    def read(folder: Path) -> bytes:
        vectors, encoder = read_embeddings(folder / "vectors.safetensors", ids, question_keys(texts))
        return vectors.tobytes() + str(encoder).encode()

    yield Kind("text vectors", "vectors.safetensors", read, whole=True), folder / "vectors"
    keys = {text_key(str(number)): vector for number, vector in enumerate(made)}
    cache = VectorCache(folder / "cache", name="tiny", identity="1")
    cache.write(keys)

    def cached(folder: Path) -> bytes:
        found = VectorCache(folder, name="tiny", identity="1").read(keys)
        wrong = [key for key, vector in found.items() if not np.array_equal(vector, keys[key])]
        return b"wrong" if wrong else b"right"

    yield Kind("cache of vectors", cache.path.name, cached, whole=True), folder / "cache"


def _table_kinds(folder: Path) -> Iterator[tuple[Kind, Path]]:
    from embedllm_hf import load_splits
    from embedllm_hf.cli._questions import read_questions
    from embedllm_hf.data.llm_table import read_costs, read_llm_table
    from embedllm_hf.new_llms.answers import read_answers
    from tests.pool import make_split

    frame = make_split(12).responses.to_long().to_pandas()
    names = list(dict.fromkeys(frame["model_name"]))
    for suffix in ("csv", "parquet"):
        (folder / suffix).mkdir(parents=True)
        getattr(frame, f"to_{suffix}")(folder / suffix / f"train.{suffix}", index=False)
    order = "model_id,model_name\n" + "".join(f"{index},{name}\n" for index, name in enumerate(names))
    (folder / "csv" / "model_order.csv").write_text(order)

    def responses(folder: Path) -> bytes:
        return load_splits(folder)["train"].to_long().to_pandas().to_csv().encode("utf-8", "surrogatepass")

    yield Kind("responses.csv", "train.csv", responses, whole=False), folder / "csv"
    yield Kind("responses.parquet", "train.parquet", responses, whole=False), folder / "parquet"
    yield Kind("model_order.csv", "model_order.csv", responses, whole=False), folder / "csv"
    small = folder / "small"
    small.mkdir()
    (small / "a.csv").write_text('prompt_id,prompt,label\n17,,1\n,"What is 2, or 3?",0.5\n18,,0\n')
    (small / "a.jsonl").write_text('{"prompt_id": 17, "label": 1}\n{"prompt": "What is 2?", "label": 0}\n')
    (small / "q.csv").write_text('question\n"What is 2, 3 and 4?"\nWho?\n')
    (small / "q.jsonl").write_text('{"question": "What is 2?"}\n"Who?"\n')
    (small / "q.txt").write_text("What is 2?\nWho?\n")
    (small / "c.csv").write_text("llm,cost,family\na/one,1,a\nb/two,2.5,b\n")
    readers: dict[str, Callable[[Path], object]] = {"a": read_answers, "q": lambda path: read_questions(str(path))}
    readers["c"] = lambda path: (read_llm_table(path), read_costs(path))
    long = {"a": "answers", "q": "questions", "c": "costs"}
    for name in ("a.csv", "a.jsonl", "q.csv", "q.jsonl", "q.txt", "c.csv"):
        yield Kind(long[name[0]] + name[1:], name, _reader_of(readers[name[0]], name), whole=False), small


def _log_kinds(folder: Path) -> Iterator[tuple[Kind, Path]]:
    from embedllm_hf import read_logs
    from tests.logs import made

    def read(folder: Path) -> bytes:
        logs = read_logs(folder)
        table = logs.to_long().to_pandas().to_csv().encode("utf-8", "surrogatepass") if logs.runs else b""
        return table + logs.summary().encode("utf-8", "surrogatepass")

    scores = {"strict-match": [1, 0] * 5, "flexible-extract": [1, None] * 5}
    samples = made.lm_eval(folder / "lm_eval", scores=scores)
    results = next(samples.parent.glob("results_*.json"))
    files = {"lm-eval's answers": samples, "lm-eval's results": results}
    files |= {
        "lighteval's details": made.lighteval(folder / "lighteval"),
        "promptfoo's results": made.promptfoo(folder / "promptfoo"),
        "Every Eval Ever's samples": made.every_eval_ever(folder / "every_eval_ever"),
        "EvalScope's reviews": made.evalscope(folder / "evalscope"),
        "LLMRouterBench's records": made.llm_router_bench(folder / "llm_router_bench"),
    }
    for name, path in files.items():
        top = folder / path.relative_to(folder).parts[0]
        yield Kind(name, path.relative_to(top).as_posix(), read, whole=False), top


def _reader_of(read: Callable[[Path], object], name: str) -> Callable[[Path], bytes]:
    return lambda folder: repr(read(folder / name)).encode()


# --- the table ---


def campaign(folder: Path, *, trials: int, seed: int, only: Sequence[str] = ()) -> Iterator[Tally]:
    """Try every kind, or those whose names begin with one of `only`."""
    with quietly():
        for kind, where in kinds(folder):
            if not only or kind.name.startswith(tuple(only)):
                yield try_kind(kind, where, trials=trials, seed=seed)


@contextlib.contextmanager
def at_most(room: int) -> Iterator[None]:
    """Give this process so many bytes beyond what it has; who asks for more gets a MemoryError, which is a loss."""
    import torch  # noqa: F401, before its gigabytes of address space count
    import transformers  # noqa: F401

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def table(found: Sequence[Tally]) -> str:
    """A row a kind."""
    rows = [[one.kind, one.files, one.refused, one.equal, one.other, len(one.lost)] for one in found]
    return summary(["kind of file", "damaged", "refused in one line", "as before", "other content", "lost"], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Try every kind and print the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="damaged files of each kind (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the damages (default: 0)")
    parser.add_argument("--kinds", default="", help="beginnings of the names of kinds, comma-separated (default: all)")
    options = parser.parse_args(argv)
    only = [name.strip() for name in options.kinds.split(",") if name.strip()]
    with tempfile.TemporaryDirectory() as folder, at_most(_ROOM):
        found = list(campaign(Path(folder), trials=options.trials, seed=options.seed, only=only))
    print(table(found))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nseed {options.seed}; the process took {peak:,.0f} MB at most")
    for tally in found:
        for line in tally.lost[:20]:
            print(f"lost: {tally.kind}, {line}", file=sys.stderr)
    return int(any(tally.lost for tally in found))


if __name__ == "__main__":
    sys.exit(main())

"""Send a stranger's names and texts through every place where they are shown or written, and look for what got out.

python -m scripts.faults.hostile                 # ten texts of each kind, in all places
python -m scripts.faults.hostile --texts 200 --seed 1

A text holds a mark that is found again. Where it is shown it has to be data: on a terminal nothing that steers it and
no line of its own; in the card inside a code span or a fence, with the card's structure as with plain names; in YAML
and JSON a value; in HTML script data; nothing is written outside a model's folder. Or it is refused, in one line that
obeys the same.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from . import quietly, summary

KINDS: dict[str, Callable[[str], str]] = {
    "escape codes": lambda m: f"\x1b[31m{m}\x1b]0;title\x07\x9b2J",
    "line breaks": lambda m: f"{m}\n# {m}\r\n- {m}\u2028{m}\x85{m}",
    "carriage returns": lambda m: f"fine\r{m}\x08\x08",
    "backticks and fences": lambda m: f"`{m}``\n```\n{m}\n```\n~~~",
    "HTML": lambda m: f"<script>alert('{m}')</script><img src=x onerror=alert(1)><!-- {m}",
    "Markdown": lambda m: f"![{m}](http://evil/x.png)[{m}](javascript:alert(1))**|{m}|\n***\n{m}\n===",
    "YAML": lambda m: f"{m}: [\n---\nlicense: {m}\n- &a *a !!python/object/apply:os.system ['{m}']",
    "Jinja": lambda m: f"{m}{{{{7*7}}}}{{% for x in y %}}{{{{ config }}}}{{# {m}",
    "formulas": lambda m: f"=cmd|' /C {m}'!A0",
    "bidirectional": lambda m: f"\u202e{m}\u2066{m}\u2069\u200f",
    "invisible": lambda m: f"{m}\u200b\ufeff\u00ad\U000e0041",
    "shell": lambda m: f"'; touch {m}; $(touch {m}) `touch {m}` \"&& {m}",
    "paths": lambda m: f"../../../../{m}/..\\..\\{m}\x00",
    "a million signs": lambda m: m + "x" * 1_000_000,
    "half a character": lambda m: f"{m}\ud83d",
    "format strings": lambda m: f"%s%n{{0}}{{m.__class__}}$\\frac{{{m}$",
    "plain, for comparison": lambda m: f"{m} plain",
}
Shown = tuple[str, str, str]  # place, form, what stands there


@dataclass
class Tally:
    """What came of the texts of one kind."""

    kind: str
    places: int = 0
    refused: int = 0
    raw: list[str] = field(default_factory=list)


class World:
    """A small model and a report on it, whose names are exchanged for a stranger's."""

    def __init__(self, folder: Path) -> None:
        from embedllm_hf import EmbedLLM, evaluate_model, load_responses
        from embedllm_hf.bank.question_bank import QuestionBank
        from embedllm_hf.encoding.encoded_responses import EncodedResponses
        from embedllm_hf.item_response.fit import fit_item_parameters

        responses = load_responses("planted", split="test")
        embeds = np.random.default_rng(0).normal(size=(responses.n_questions, 384)).astype(np.float32)
        encoded = EncodedResponses(responses, embeds)
        model = EmbedLLM.from_encoder("offline", llm_names=responses.llm_names, text_dim=384, embed_dim=4).eval()
        bank = QuestionBank.from_responses(encoded)
        self.model = model.with_bank(replace(bank, item_parameters=fit_item_parameters(model, bank, calibrate=False)))
        self.report = evaluate_model(self.model, encoded)
        self.folder = folder

    def metrics(self, text: str) -> dict[str, Any]:
        """A `metrics.json` with the text wherever it has one."""
        told = json.loads(json.dumps(self.report.to_dict()))
        gain = {"over": text, "difference": 0.1, "low": 0.0, "high": 0.2}
        told["dataset"] |= {"id": text, "revision": text, "split": text, "duplicates": text}
        told |= {"gains": {text: gain, "accuracy": gain}, "routing_over_best_llm": gain, "versions": {text: text}}
        return {**told, text: told["knn"], "benchmarks": {text: {text: told["knn"]}}}

    def with_categories(self, text: str) -> Any:
        """The model, its first category with the text as name."""
        bank = self.model.bank
        return self.model.with_bank(replace(bank, categories=(text, *bank.categories[1:])))


# --- the places ---


def library_places(world: World, text: str) -> Iterator[Callable[[], Iterator[Shown]]]:
    """Places that need no saved model, each a call that shows the text or refuses it."""
    from embedllm_hf import EmbedLLMConfig, Forecaster
    from embedllm_hf.cards.metrics_file import checked_metrics
    from embedllm_hf.cards.model_card import model_card
    from scripts.paper.map_page import llm_map_page

    config, forecaster = world.model.config, Forecaster(world.model)

    def card(names: Sequence[str], metrics: dict, benchmarks: Sequence[str]) -> Iterator[Shown]:
        named = EmbedLLMConfig(llm_names=names, text_dim=8, encoder_name="offline")
        yield "card", "Markdown", model_card(named, checked_metrics(metrics), benchmarks=benchmarks).content

    def page() -> Iterator[Shown]:
        llm = {"name": text, "x": 0.0, "y": 0.0, "family": text, "kind": text, "answered": text, "billions": None}
        yield "map", "HTML", llm_map_page(text, [{**llm, "scores": {"law": {"accuracy": 0.5, "n": 1}}}], [0.5, 0.5])

    def reports() -> Iterator[Shown]:
        benchmarks = {text: next(iter(world.report.benchmarks.values()))}
        summary = replace(world.report.dataset, id=text, split=text)
        told = replace(world.report, benchmarks=benchmarks, dataset=summary, without_answers=[text])
        yield "report", "terminal", str(told)

    yield lambda: card([text, *config.llm_names], {}, [])
    yield lambda: card(config.llm_names, world.metrics(text), [])
    yield lambda: card(config.llm_names, {}, [text])
    yield page
    yield reports
    yield lambda: refusing(forecaster.benchmark, text, "law")
    yield lambda: refusing(forecaster.benchmark, config.llm_names[0], text)
    yield lambda: refusing(world.model.with_llm, text, np.ones(4))
    yield lambda: refusing(world.model.with_llm_renamed, config.llm_names[0], text)
    yield lambda: refusing(world.model.without_llm, text)


def refusing(call: Callable, *arguments: Any) -> Iterator[Shown]:
    """A call whose error is what is shown."""
    call(*arguments)
    yield from ()


def saved_places(world: World, text: str) -> Iterator[Callable[[], Iterator[Shown]]]:
    """A saved model with the text as a category's name and in its metrics, and the verbs on it."""
    from embedllm_hf.cards.metrics_file import checked_metrics

    saved, llm = world.folder / "saved", world.model.config.llm_names[0]
    verbs = (
        ("forecast", "--llm", llm, "--benchmark", text),
        ("forecast", "--llm", text, "--benchmark", "law"),
        ("leaderboard", "--benchmark", text),
        ("leaderboard", "--benchmark", "law", "--llms", text),
        ("similar", "--llm", text),
        ("portfolio", "--size", "2", "--costs", text),
        ("probe", "--llm", "new/llm", "-n", "3"),
        ("probe", "--llm", text, "--benchmark", text, "--json"),
        ("onboard", "--llm", text, "--answers", text, "--output_dir", str(world.folder / "grown")),
        ("evaluate", "--dataset", text),
        ("similar", "--model", text, "--llm", llm),
    )

    def save() -> Iterator[Shown]:
        model = world.with_categories(text)
        with contextlib.suppress(ValueError):  # the metrics are refused apart
            model.metrics = checked_metrics(world.metrics(text))
        model.save_pretrained(saved)
        yield "saved card", "Markdown", (saved / "README.md").read_text(encoding="utf-8")
        yield "files", "paths", "\n".join(path.name for path in saved.rglob("*"))

    def ask(verb: str, *options: str) -> Iterator[Shown]:
        model = [] if "--model" in options else ["--model", str(saved)]
        out, err = run_verb(verb, *model, *options)
        yield verb, "JSON" if "--json" in options and out else "terminal", out
        yield verb, "terminal", err

    yield save
    for verb, *options in verbs:
        yield lambda verb=verb, options=options: ask(verb, *options)


def run_verb(*arguments: str) -> tuple[str, str]:
    """What a verb prints on both outputs."""
    from embedllm_hf.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    if code not in (0, 2):
        raise AssertionError(f"exit code {code}: {err.getvalue()[-300:]}")
    return out.getvalue(), err.getvalue()


# --- what may stand there ---


def raw_in(form: str, shown: str, text: str, mark: str) -> str | None:
    """What of a text got out of its place; None if nothing did."""
    if f"{mark}49" in shown:
        return "the template engine has run it"
    if form == "Markdown":
        return _raw_in_card(shown, mark)
    if form == "HTML":
        return _raw_in_page(shown, mark)
    if form == "JSON":
        json.loads(shown, parse_constant=lambda name: [].index(name))  # NaN and infinity are no JSON
    if form == "paths":
        return f"a file is named {shown!a}" if mark in shown else None
    return _raw_on_terminal(shown, mark)


def _raw_on_terminal(shown: str, mark: str) -> str | None:
    steering = {sign for sign in shown if not sign.isprintable()} - {"\n", "\t"}
    if steering:
        return f"a terminal gets {sorted(steering)!a}"
    alone = [line for line in shown.split("\n") if line.strip().startswith((f"# {mark}", f"- {mark}"))]
    return f"a line of its own: {alone[0]!a}" if alone else None


def _raw_in_card(card: str, mark: str) -> str | None:
    from huggingface_hub import ModelCard

    _, front, body = re.split(r"^---$\n?", card, maxsplit=2, flags=re.MULTILINE)
    data = ModelCard(card).data.to_dict()
    known = {"library_name", "pipeline_tag", "tags", "license", "base_model", "base_model_relation", "datasets"}
    if set(data) - known - {"model-index"} or data["license"] != "apache-2.0":
        return f"the metadata is {ascii(data)[:200]}"
    if {sign for sign in front + body if not sign.isprintable()} - {"\n"}:
        return "signs that do not print"
    plain = re.sub(r"^```\w*\n.*?^```$", "", body, flags=re.MULTILINE | re.DOTALL)
    plain = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", plain)
    found = re.search(rf".*{mark}.*", plain)
    return f"outside code: {found[0]!a:.200}" if found else None


class _Elements(HTMLParser):
    """Counts elements and keeps texts that are no script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.texts.append(repr(attrs))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["script"]:
            self.texts.append(data)


def _raw_in_page(page: str, mark: str) -> str | None:
    from scripts.paper.map_page import _PLACE, _TEMPLATE

    template = Path(sys.modules["scripts.paper.map_page"].__file__ or "").with_name(_TEMPLATE).read_text("utf-8")
    found, expected = _Elements(), _Elements()
    found.feed(page)
    expected.feed(template.replace(_PLACE, "{}"))
    if found.tags != expected.tags:
        return f"elements {set(found.tags) - set(expected.tags)}"
    return "outside the script" if mark in "".join(found.texts) else None


# --- the campaign ---


def try_text(kind: str, text: str, mark: str, places: Iterator[Callable[[], Iterator[Shown]]]) -> Tally:
    """Send one text through some places."""
    from embedllm_hf._errors import UserError

    tally = Tally(kind)
    for place in places:
        tally.places += 1
        try:
            for name, form, shown in place():
                wrong = raw_in(form, shown, text, mark)
                if wrong:
                    tally.raw.append(f"{name}: {wrong}")
                if len(shown) > 200_000 and form != "JSON":  # which has every value whole
                    tally.raw.append(f"{name}: {len(shown):,} signs")
        except UserError as error:
            tally.refused += 1
            wrong = _raw_on_terminal(str(error), mark) or ("two lines" if "\n" in str(error) else None)
            if wrong or len(str(error)) > 10_000:
                tally.raw.append(f"error line: {wrong or len(str(error))}")
        except Exception as error:
            tally.raw.append(f"{type(error).__name__}: {error!a:.200}")
    return tally


@quietly()
def campaign(folder: Path, *, texts: int, seed: int, quick: bool = False) -> list[Tally]:
    """Try so many texts of each kind; `quick` saves a model for one text only, which has all kinds in it."""
    draw, world, found = random.Random(seed), World(folder / "inner"), []
    (folder / "inner").mkdir(parents=True)
    for kind, make in KINDS.items():
        total = Tally(kind)
        for _ in range(texts):
            mark = f"mk{draw.getrandbits(40):x}"
            text = make(mark)
            if not quick and draw.random() < 0.5:  # in company
                text = f"lab/{text}"
            places = [library_places] if quick else [library_places, saved_places]
            for group in places:
                one = try_text(kind, text, mark, group(world, text))
                total.places += one.places
                total.refused += one.refused
                total.raw += one.raw
        found.append(total)
    mark = f"mk{draw.getrandbits(40):x}"
    everything = "".join(
        make(mark) for kind, make in KINDS.items() if kind not in ("a million signs", "half a character")
    )
    found.append(try_text("all at once", everything, mark, saved_places(world, everything)))
    beside = [path.name for path in folder.rglob(f"*{mark[:2]}*") if "inner" not in path.parts]
    if {path.name for path in folder.iterdir()} != {"inner"} or beside:
        found[-1].raw.append(f"files beside the folder: {beside}")
    return found


def table(found: Sequence[Tally]) -> str:
    """A row a kind."""
    rows = [[one.kind, one.places, one.refused, len(one.raw)] for one in found]
    return summary(["kind", "places", "refused", "raw"], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Try every kind and print the table; 1 if anything got out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=10, help="texts of each kind (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the texts (default: 0)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(Path(folder), texts=options.texts, seed=options.seed)
    print(table(found))
    print(f"\nseed {options.seed}")
    for tally in found:
        for line in tally.raw[:20]:
            print(f"raw: {tally.kind}, {line}", file=sys.stderr)
    return int(any(tally.raw for tally in found))


if __name__ == "__main__":
    sys.exit(main())

"""The texts that a question may be known by.

The question itself counts, never the few-shot prompt around it. Where a harness has only a rendered prompt, what all
questions of a task begin and end with, such as `Question: ` and a last line `Answer:`, is taken away, so that one
question has one text, whoever asked it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .records import Questions

FIELDS = ("question", "query", "problem", "prompt", "input", "text", "instruction", "sentence", "goal", "ctx")
_OPTIONS = ("choices", "options", "endings")
_LAYOUTS = ("{0}. {1}", "{0}) {1}", "({0}) {1}", "{0}: {1}")
PROMPTS = {"arg_0", "query", "input.raw", "messages[0]"}  # what an LLM was given, more than the question
_QUESTION = re.compile(r"^\s*(Question|Q|Problem)\s*:\s+")
_ANSWER = re.compile(r"\n\s*(Answer|A|Solution|Response)\s*:\s*$")
_HARMLESS_METHODS = {
    *("strip", "lstrip", "rstrip", "lower", "upper", "capitalize", "title", "startswith", "endswith", "split", "join"),
    *("index", "find", "count", "get", "items", "keys", "values", "splitlines"),
}
_HARMLESS_FILTERS = (
    *("trim", "lower", "upper", "capitalize", "title", "length", "count", "first", "last", "join", "list", "sort"),
    *("string", "int", "float", "round", "default", "d", "e", "safe", "min", "max", "sum", "unique"),
)
_TAG = re.compile(r"\{%[-+]?\s*(\w*)")
_PLAIN_TAGS = {"for", "endfor", "if", "elif", "else", "endif"}
_EXPECTED = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WIDE_COLON = "\uff1a"
_LABEL_END = re.compile(
    rf"(:\s+|{_WIDE_COLON}\s*|\n)(?!.*(:\s+|{_WIDE_COLON}|\n))", re.S
)  # the last place where a label or a line ends


def with_options(text: str, options: Sequence[str], layout: str = _LAYOUTS[0]) -> str:
    """A question and its options, lettered, a line each."""
    if not 0 < len(options) <= len(LETTERS):
        return text
    lines = [layout.format(letter, option) for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([text.rstrip(), *lines])


def options_of(doc: Mapping[str, Any]) -> list[str]:
    """The options of a question, if it has some: a list of texts, or ARC's `{"text": [...], "label": [...]}`."""
    for name in _OPTIONS:
        found = doc.get(name)
        if isinstance(found, Mapping):
            found = found.get("text")
        if isinstance(found, list) and len(found) > 1 and all(isinstance(option, str) for option in found):
            return [option.strip() for option in found]
    return []


def texts_of_fields(doc: Mapping[str, Any]) -> dict[str, str]:
    """Candidates out of the fields of a data set's row: with lettered options in each layout, and alone."""
    found = next(((name, doc[name]) for name in FIELDS if isinstance(doc.get(name), str) and doc[name].strip()), None)
    if found is None:
        return {}
    name, text = found
    options, texts = options_of(doc), {}
    for layout in _LAYOUTS if options else ():
        texts[f"{name} + options, {layout.format('A', '...')}"] = with_options(text, options, layout)
    return texts | {name: text}


@lru_cache(maxsize=1)
def _sandbox() -> Any:
    """Where templates run, which are code of whoever wrote the log: with a few harmless methods and filters, no more.

    Jinja's sandbox keeps code from getting out; what could take all memory or time is taken away here.
    """
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**", "%", "//"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            raise SecurityError(f"`{operator}` is not computed in a log's template")

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            return attr in _HARMLESS_METHODS or (not callable(value) and super().is_safe_attribute(obj, attr, value))

    environment = Sandbox(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _HARMLESS_FILTERS}
    return environment


def _is_plain(source: str) -> bool:
    """Whether a template has expressions, conditions and one loop at most: nothing that doubles a text forty times."""
    tags = _TAG.findall(source)
    return set(tags) <= _PLAIN_TAGS and tags.count("for") <= 1 and "~" not in source


@lru_cache(maxsize=256)
def _template(source: str) -> Any:
    return _sandbox().from_string(source)


def rendered(template: object, doc: Mapping[str, Any]) -> str | None:
    """A task's template with a row of its data set; None if it is no template, or cannot be rendered."""
    from jinja2 import TemplateError

    if not isinstance(template, str) or len(template) > 20_000 or template.lstrip().startswith(("def ", "<function")):
        return None
    if template in doc:  # the name of a field
        return doc[template] if isinstance(doc[template], str) else None
    if ("{{" not in template and "{%" not in template) or not _is_plain(template):
        return None
    try:
        return _template(template).render(**{str(name): value for name, value in doc.items()})
    except (
        TemplateError,
        TypeError,
        ValueError,
        LookupError,
        ArithmeticError,
        AttributeError,
        RecursionError,
        MemoryError,
    ):
        return None


def without_labels(text: str) -> str:
    """A text without the labels that are put around questions everywhere: `Question: ` and a last line `Answer:`."""
    return _ANSWER.sub("", _QUESTION.sub("", text, count=1), count=1).strip()


def without_frame(text: str, template: str) -> str:
    """A rendered template without what the template has before its first and after its last expression."""
    before = re.split(r"\{\{|\{%", template, maxsplit=1)[0]
    after = re.split(r"\}\}|%\}", template)[-1]
    return text.removeprefix(before).removesuffix(after)


def _shared_beginning(texts: Sequence[str]) -> str:
    """What all begin with: what the first and the last in the alphabet share."""
    first, last = min(texts), max(texts)
    n = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:n]


class Affixes:
    """What all texts of one kind in a task begin and end with, at the ends of labels and lines."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.before = self.after = ""
        if len(set(texts)) < 2:
            return
        shared = _shared_beginning(texts)
        end = _LABEL_END.search(shared)
        self.before = shared[: end.end()] if end else ""
        rest = [text[len(self.before) :][::-1] for text in texts]
        shared = _shared_beginning(rest)[::-1]
        line = shared.find("\n")
        self.after = shared[line:] if line >= 0 else ""

    def bare(self, text: str) -> str:
        """A text without them."""
        return text.removeprefix(self.before).removesuffix(self.after).strip()


def bare_texts(questions: Questions) -> list[list[tuple[str, str]]]:
    """Each question's candidates, the best first, without labels; of prompts, without what the task adds to all."""
    prompts: dict[tuple[str, str], list[str]] = {}
    for task, texts in zip(questions.tasks, questions.texts, strict=True):
        for name in PROMPTS & texts.keys():
            prompts.setdefault((task, name), []).append(texts[name])
    affixes = {of: Affixes(texts) for of, texts in prompts.items()}
    return [
        [
            (name, without_labels(affixes[task, name].bare(text) if name in PROMPTS else text))
            for name, text in texts.items()
        ]
        for task, texts in zip(questions.tasks, questions.texts, strict=True)
    ]

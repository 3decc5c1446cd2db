"""A pool of made-up LLMs with planted skills, for the quick start, the examples and the tests.

Each made-up LLM is strong in some kinds of question and weak in others; whether it answers one correctly is a coin
thrown with that probability, and one answer in ten is hidden. So "which LLM for this question?" has a known best
answer, and so does "how probable is it?". A topic holds several kinds, so its name alone does not tell the skill.
The texts are filled-in templates; no answer of a real LLM is in here.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pyarrow as pa

from .._errors import InputError
from .origin import DataOrigin
from .responses import ResponseMatrix

PLANTED = "planted"
SPLIT_SIZES = {"train": 640, "validation": 104, "test": 200}
HIDDEN_SHARE = 0.1

# Each topic: templates, and what fills their two gaps; `|` stands between them.
_TOPICS = {
    "arithmetic": (
        "What is {a} multiplied by {b}?|Add {a} to {b} and halve the result.|Divide {a} by {b}, to two places.",
        "17|23|48|96|125|310|72|64|39|508",
        "4|6|9|12|15|21|33|47",
    ),
    "geography": (
        "Which river flows through {a}, and {b}?|Name the capital of {a} and say {b}.|In {a}, {b}?",
        "France|Kenya|Peru|Vietnam|Norway|Canada|Egypt|Chile|Nepal|Portugal",
        "what is its population|which sea is nearest|what is its highest mountain|who are its neighbours",
    ),
    "programming": (
        "Write a {a} function that {b}.|Find the bug in this {a} code, which {b}.|In {a}, which library {b}?",
        "Python|Rust|Java|SQL|C++|Go|Haskell|JavaScript|Kotlin|Bash",
        "sorts a list|parses a date|reverses a string|reads a file|removes duplicates|counts words",
    ),
    "medicine": (
        "A patient of {b} years has {a}. What is the likely diagnosis?|At age {b}, which drug treats {a}?",
        "a fever|chest pain|asthma|high blood pressure|migraine|a rash|anaemia|gout|diabetes",
        "four|eleven|nineteen|thirty|forty-five|sixty|seventy-two|eighty",
    ),
    "law": (
        "Is a contract about {a} valid when {b}?|Who is liable for damage to {a} if {b}?",
        "a rented flat|a used car|a building site|a shipment|a patent|a dog|a loan|a will",
        "one party was a minor|nothing was signed|the seller lied|the court is abroad|it was a gift",
    ),
    "cooking": (
        "How do I cook {a} with {b}?|Which wine goes with {a} and {b}?|How long do {a} and {b} keep?",
        "lentils|salmon|aubergines|duck|mushrooms|rice|tofu|lamb|pumpkin|pasta",
        "garlic butter|fresh herbs|coconut milk|a tomato sauce|lemon and salt|roasted nuts",
    ),
}
# What each family is strong in: topics, and in them the kinds of question, that is the templates by number.
_FAMILIES: dict[str, dict[str, tuple[int, ...]]] = {
    "abacus": {"arithmetic": (0, 1, 2), "programming": (0, 1)},
    "atlas": {"geography": (0, 1, 2), "law": (1,), "cooking": (1,)},
    "healer": {"medicine": (0, 1), "cooking": (0, 2)},
    "scribe": {"law": (0,), "medicine": (1,), "programming": (2,)},
}
# Probability of a right answer where strong and where weak, for the large and the small sibling.
_SKILL = {"large": (0.92, 0.35), "small": (0.78, 0.2)}


def planted_llms() -> tuple[str, ...]:
    """Names of the made-up LLMs, `planted/<family>-<size>`."""
    return tuple(f"planted/{family}-{size}" for family, size in product(_FAMILIES, _SKILL))


def planted_probabilities(question_ids: np.ndarray) -> np.ndarray:
    """The probability with which each made-up LLM is right: what a perfect model would predict.

    The ids `(n_questions,)` are `ResponseMatrix.question_ids` of a planted split. The probabilities are
    `(n_questions, n_llms)` in (0, 1), with columns as in `planted_llms`.
    """
    questions = _questions()
    pool = [(strengths, _SKILL[size]) for strengths, size in product(_FAMILIES.values(), _SKILL)]
    return np.array(
        [
            [strong if kind in strengths.get(topic, ()) else weak for strengths, (strong, weak) in pool]
            for _, topic, kind in (questions[question] for question in question_ids)
        ]
    )


def _questions() -> list[tuple[str, str, int]]:
    """All texts with their topic and kind, in a fixed order; a question's id is its position."""
    return [
        (template.format(a=a, b=b), topic, kind)
        for topic, texts in _TOPICS.items()
        for templates, first, second in [(text.split("|") for text in texts)]
        for (kind, template), a, b in product(enumerate(templates), first, second)
    ]


def planted_pool(split: str, *, seed: int = 0) -> ResponseMatrix:
    """Make one split of the planted pool, `(SPLIT_SIZES[split], 8)`, about a tenth missing.

    Args:
        split (`str`): `"train"`, `"validation"` or `"test"`; no question is in two of them.
        seed (`int`): Of the split, of the answers and of what is hidden.

    Raises:
        ValueError: If `split` is another name.
    """
    if split not in SPLIT_SIZES:
        raise InputError(f"the planted pool has the splits {', '.join(SPLIT_SIZES)}, not `{split}`.")
    made, names = _questions(), planted_llms()
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(made))
    probabilities = planted_probabilities(np.arange(len(made)))
    right = generator.random(probabilities.shape) < probabilities
    shown = generator.random(probabilities.shape) >= HIDDEN_SHARE
    parts = np.split(order, np.cumsum(list(SPLIT_SIZES.values())))
    chosen = np.sort(parts[list(SPLIT_SIZES).index(split)])
    rows, columns = np.nonzero(shown[chosen])
    questions = chosen[rows]
    table = pa.table(
        {
            "prompt_id": questions,
            "model_name": [names[column] for column in columns],
            "label": right[questions, columns].astype(np.int8),
            "prompt": [made[question][0] for question in questions],
            "category": [made[question][1] for question in questions],
        }
    )
    return ResponseMatrix.from_long(table, llm_names=names, origin=DataOrigin(PLANTED, None, split))

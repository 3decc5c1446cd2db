"""Benchmarks from the names of categories."""

import pytest

from embedllm_hf.data.benchmarks import agreed_benchmarks, benchmark_categories


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        (["gsm8k"], {"gsm8k": ("gsm8k",)}),
        (["ab_c_x", "gsm8k", "ab_c_d"], {"gsm8k": ("gsm8k",), "ab_c": ("ab_c_d", "ab_c_x")}),
        (["mmlu_law", "mmlu_pro_math", "mmlu_law"], {"mmlu": ("mmlu_law", "mmlu_pro_math")}),
        (["asdiv_x"], {"asdiv_x": ("asdiv_x",)}),
        (["math", "math_l5"], {"math_*": ("math", "math_l5")}),
        (["math", "math_*", "math_l5"], {"math_*_*": ("math", "math_*", "math_l5")}),
        (["_a", "_b"], {"_a": ("_a",), "_b": ("_b",)}),
        ([], {}),
    ],
)
def test_benchmarks_are_the_common_leading_words(categories, expected):
    """Categories that share their first word make a benchmark of all words that they share, by a name of its own."""
    assert benchmark_categories(categories) == expected


LEADERBOARD = {"leaderboard_bbh_dates": "bbh", "leaderboard_bbh_nouns": "bbh", "leaderboard_gpqa": "gpqa"}
MMLU = {"mmlu_law": "mmlu", "mmlu_physics": "mmlu", "mmlu_pro_law": "mmlu_pro"}
ARC = {"arc_easy": "arc_easy", "arc_challenge": "arc_challenge"}


@pytest.mark.parametrize("told", [LEADERBOARD, MMLU, ARC, {**LEADERBOARD, **MMLU, **ARC}])
def test_what_is_told_counts_and_not_the_words(told):
    """The three traps of names: parts of one suite, a name that begins another one, two tests of one family."""
    found = benchmark_categories(told, told)
    assert {category: name for name, members in found.items() for category in members} == told
    assert found != benchmark_categories(told)


def test_told_and_untold_categories_stand_side_by_side():
    """Those without a benchmark follow their words, under names that no told benchmark has."""
    told = {"x": "mmlu", "y": "gsm8k", "elsewhere": "nothing"}
    found = benchmark_categories(["x", "y", "mmlu_law", "mmlu_math", "gsm8k"], told)
    assert found == {"gsm8k_*": ("gsm8k",), "mmlu_*": ("mmlu_law", "mmlu_math"), "mmlu": ("x",), "gsm8k": ("y",)}


def test_parts_that_tell_the_same_agree_and_others_are_refused():
    """The message names the category, both benchmarks and both parts."""
    assert agreed_benchmarks({"a": {"x": "one"}, "b": {"x": "one", "y": "two"}}) == {"x": "one", "y": "two"}
    with pytest.raises(ValueError, match=r"category `x` is of the benchmark `one` in a and of `two` in b.*Rename"):
        agreed_benchmarks({"a": {"x": "one"}, "b": {"x": "two"}})

"""Benchmarks from the names of categories."""

import pytest

from embedllm_hf.data.benchmarks import benchmark_categories


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

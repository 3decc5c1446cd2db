"""Pieces of the card's text: verdicts, bold cells, code spans, and what is left out."""

import pytest

from embedllm_hf.cards import text as card_text


def test_the_best_of_each_column_is_bold():
    """The largest accuracy and the smallest log loss stand out, ties together; the oracle never does."""
    scores = {"embedllm": {"accuracy": 0.7, "log_loss": 0.5}, "knn": {"accuracy": 0.7, "log_loss": 0.4}}
    table = card_text.results_table(scores, {"routing_accuracy": 0.99})
    embedllm, knn, oracle = table.splitlines()[2:]
    assert embedllm == "| **embedllm** | **0.7000** | 0.5000 |"
    assert knn == "| `knn` | **0.7000** | **0.4000** |"
    assert oracle == "| `oracle` | - | - |"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.03, "EmbedLLM is better"),
        (-0.03, -0.01, "the baseline is better"),
        (-0.01, 0.03, "no clear difference"),
    ],
)
def test_gains_come_with_a_verdict(low, high, verdict):
    """An interval that holds zero is called no clear difference."""
    gain = {"over": "knn", "difference": (low + high) / 2, "low": low, "high": high}
    (line,) = card_text.gain_lines({"routing_accuracy": gain})
    assert line.endswith(verdict)
    assert f"between {low:+.4f} and {high:+.4f}" in line
    assert "over `knn`" in line


@pytest.mark.parametrize(
    ("text", "span"),
    [("plain", "`plain`"), ("a`b", "`` a`b ``"), ("a|b", "`a|b`"), ("a\n# b", "`a # b`"), ("``", "``` `` ```")],
)
def test_names_cannot_break_out_of_their_code_span(text, span):
    """Backticks and line breaks of a name stay text; a pipe needs no escape outside a table."""
    assert card_text.code(text) == span


def test_a_pipe_in_a_name_does_not_break_the_table():
    """Escaped in the table only, where Markdown takes the backslash away."""
    table = card_text.results_table({"a|b": {"accuracy": 0.5}}, {})
    assert table.splitlines()[2] == "| `a\\|b` | **0.5000** |"


GUARANTEE = {"min_success": 0.8, "share_answered": 0.364, "share_right": 0.906, "low": 0.879, "high": 0.93}


def test_the_guarantee_and_its_keeping():
    """The share that was stated, who was chosen, and the shares that came of it; the cost where there was one."""
    text = card_text.guarantee_text(GUARANTEE)
    assert "`min_success` 0.8" in text
    assert "The most probable LLM was chosen. 36.4% of the questions were not flagged" in text
    assert "90.6% of their answers were right (95% interval 87.9% to 93.0%)." in text
    text = card_text.guarantee_text({**GUARANTEE, "cheapest": True, "mean_cost": 0.25})
    assert "The cheapest LLM that reaches it was chosen, at a mean cost of 0.25. 36.4%" in text


def test_a_guarantee_that_flagged_everything():
    """Without an answer there is no share of right ones; without a guarantee there is no text."""
    nothing = {"min_success": 0.99, "cheapest": False, "share_answered": 0.0, "share_right": None}
    assert card_text.guarantee_text(nothing).endswith("was chosen, and every question was flagged.")
    assert card_text.guarantee_text({}) == ""

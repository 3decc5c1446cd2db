"""What the Python calls are given is read right, or refused in one line that names the argument."""

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from embedllm_hf import EmbedLLM, Forecaster, Router, evaluate_model, probe
from embedllm_hf._errors import UserError
from embedllm_hf.inference.leaderboard import Leaderboard
from embedllm_hf.inference.portfolio import portfolio
from embedllm_hf.inference.similar import similar_llms

LLM = "planted/abacus-large"
Q = "What is 2 + 2?"
TABLE = datasets.Dataset.from_dict({"question": [Q, "Who?"], "n": [1, 2]})


@pytest.fixture(scope="module")
def model(planted_model) -> EmbedLLM:
    return EmbedLLM.from_pretrained(planted_model)


NO_TEXTS = {
    "a table of datasets": TABLE,
    "a stream of datasets": TABLE.to_iterable_dataset(),
    "splits": datasets.DatasetDict({"train": TABLE}),
    "a frame": pd.DataFrame({"question": [Q]}),
    "an arrow table": pa.table({"question": [Q]}),
    "a mapping": {"question": Q},
    "a set": {Q},
    "nothing": None,
    "a number": 3,
    "bytes": b"What?",
    "rows": np.array([[Q, "Who?"]]),
    "a list of bytes": [b"What?"],
    "half a surrogate pair": ["bad \ud83d text"],
    "an empty text": [" "],
}


@pytest.mark.parametrize("kind", NO_TEXTS)
def test_what_is_no_list_of_texts_is_refused(model, kind):
    """By each call that takes questions, in one line."""
    router, forecaster, board = Router(model), Forecaster(model), Leaderboard(model)
    calls = (
        router,
        lambda texts: forecaster.probabilities(LLM, texts),
        lambda texts: forecaster.answers(LLM, texts),
        lambda texts: forecaster.questions(LLM, texts),
        board,
    )
    for call in calls:
        with pytest.raises(UserError, match="`questions") as refused:
            call(NO_TEXTS[kind])
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("call", [Forecaster.questions, Forecaster.answers, Forecaster.probabilities])
def test_one_text_is_no_list_of_its_letters(model, call):
    """Where a mean is asked for, a list is needed."""
    with pytest.raises(TypeError, match=r"is one text.*Pass \[text\]"):
        call(Forecaster(model), LLM, Q)


@pytest.mark.parametrize(
    "texts",
    [
        (Q, "Who?"),
        TABLE["question"],
        pd.Series([Q, "Who?"], index=[5, 2]),
        pa.array([Q, "Who?"]),
        np.array([Q, "Who?"]),
        map(str, [Q, "Who?"]),
    ],
    ids=["tuple", "column", "series", "arrow", "array", "iterator"],
)
def test_other_containers_of_texts_are_read_in_their_order(model, texts):
    """As the list of the same texts."""
    assert Router(model)(texts) == Router(model)([Q, "Who?"])


REFUSED = {
    "llms of None": (lambda m: Router(m)(Q, llms=[None]), "`llms` holds None"),
    "llms of numbers": (lambda m: Router(m)(Q, llms=3), "`llms` is 3"),
    "costs in a list": (lambda m: Router(m)(Q, costs=[1]), r"`costs` is \[1\]"),
    "costs in a Series": (lambda m: Router(m)(Q, costs=pd.Series({LLM: 1.0})), r"`costs` is .*costs.to_dict\(\)"),
    "a cost that is true": (lambda m: Router(m)(Q, costs={LLM: True}), "is True, expected a number of 0 or more"),
    "facts of None": (lambda m: Router(m)(Q, facts={LLM: None}), "`facts` is "),
    "a family as a number": (lambda m: Router(m)(Q, facts={LLM: {"family": "x"}}, family=3), "`family` is 3"),
    "a weight as text": (lambda m: Router(m)(Q, cost_weight="1"), "`cost_weight` is '1', expected a number"),
    "a weight that is NaN": (lambda m: Router(m)(Q, cost_weight=np.nan), "`cost_weight` is nan"),
    "a success as text": (lambda m: Router(m)(Q, min_success="0.8"), "`min_success` is '0.8'"),
    "a success that is true": (lambda m: Router(m)(Q, min_success=True), "`min_success` is True"),
    "strict as a number": (lambda m: Router(m)(Q, min_success=0.5, strict=1), "`strict` is 1, expected True or False"),
    "a part of an LLM": (lambda m: Router(m)(Q, top_k=1.5), "`top_k` is 1.5, expected a whole number"),
    "an unknown option": (lambda m: Router(m)(Q, temperature=1), "unknown option `temperature`"),
    "a policy as a mapping": (lambda m: Router(m)(Q, policy={"llms": [LLM]}), "`policy` is {'llms'"),
    "no model": (lambda m: Router("runs/m"), "`model` is 'runs/m', expected EmbedLLM"),
    "an encoder by name": (lambda m: Router(m, "offline"), "`encoder` is 'offline', expected QuestionEncoder"),
    "half a probe": (lambda m: probe(m, LLM, n=2.5), "`n` is 2.5"),
    "a seed below 0": (lambda m: probe(m, LLM, seed=-1), "`seed` is -1"),
    "a benchmark as a number": (lambda m: probe(m, LLM, benchmark=3), "`benchmark` is 3"),
    "half an LLM": (lambda m: portfolio(m, size=2.5), "`size` is 2.5"),
    "a budget as text": (lambda m: portfolio(m, budget="x", costs={LLM: 1}), "`budget` is 'x'"),
    "no questions": (lambda m: portfolio(m, size=2, question_embeds=np.empty((0, 384))), "`question_embeds` is empty"),
    "no LLM": (lambda m: Forecaster(m).benchmark(None, "law"), "name of the LLM is None"),
    "an LLM as a number": (lambda m: Forecaster(m).benchmark(0, "law"), "name of the LLM is 0"),
    "no benchmark": (lambda m: Leaderboard(m).benchmark(None), "`benchmark` holds None"),
    "one name to rank": (lambda m: Leaderboard(m)([Q], llms=LLM), "`llms` is 'planted/abacus-large', expected a list"),
    "one name to leave out": (lambda m: similar_llms(m, LLM, exclude="x"), "`exclude` is 'x'"),
    "a frame to measure on": (lambda m: evaluate_model(m, pd.DataFrame()), "`dataset` is a `DataFrame`"),
    "categories as a number": (lambda m: m.predict_proba(np.ones((1, 384)), 3), "`categories` is 3"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_arguments_of_another_type_are_refused_by_name(model, kind):
    """One line, of our own errors."""
    call, message = REFUSED[kind]
    with pytest.raises(UserError, match=message) as refused:
        call(model)
    assert "\n" not in str(refused.value)


def test_numbers_of_numpy_and_torch_are_numbers(model):
    """Scalars and arrays of no dimension."""
    plain = Router(model)(Q, top_k=2, min_success=0.5)
    for kind in (np.float32, torch.tensor, np.array):
        assert Router(model)(Q, top_k=np.int64(2), min_success=kind(0.5)) == plain
    assert portfolio(model, size=np.array(2)) == portfolio(model, size=2)
    assert Router(model)(Q, exclude={LLM}) == Router(model)(Q, exclude=[LLM])

"""transformers pipelines: registered with the model's classes, and they say what Router and Forecaster say."""

import json
import subprocess
import sys

import datasets
import pytest
import torch
from transformers import AutoConfig, BertConfig, BertModel, pipeline
from transformers.pipelines.pt_utils import KeyDataset

from embedllm_hf import EmbedLLM, EmbedLLMConfig, Forecaster, QuestionEncoder, Router

QUESTIONS = [
    "What is 17 multiplied by 47?",
    "Name the capital of Peru and say who are its neighbours.",
    "A patient of sixty years has asthma. What is the likely diagnosis?",
]
LLM = "planted/abacus-large"


@pytest.fixture(scope="module")
def route(planted_model):
    return pipeline("llm-routing", model=str(planted_model))


@pytest.fixture(scope="module")
def forecast(planted_model):
    return pipeline("llm-forecasting", model=str(planted_model), llm=LLM)


IMPORTS = """
import sys, embedllm_hf
assert not {"torch", "transformers", "datasets"} & set(sys.modules)
from transformers import AutoConfig, AutoModel
from transformers.pipelines import PIPELINE_REGISTRY
TASKS = {"llm-routing", "llm-forecasting"}
for statement in (
    "from embedllm_hf import EmbedLLM",
    "from embedllm_hf import EmbedLLMConfig",
    "from embedllm_hf import Forecaster",
    "from embedllm_hf import Router",
    "import embedllm_hf.inference.pipelines",
):
    assert not TASKS & set(PIPELINE_REGISTRY.get_supported_tasks()), statement
    exec(statement)
    assert TASKS <= set(PIPELINE_REGISTRY.get_supported_tasks()), statement
    made = AutoModel.from_config(AutoConfig.for_model("embedllm", llm_names=["a"]))
    assert type(made) is embedllm_hf.EmbedLLM, statement
    for name in [name for name in sys.modules if name.startswith("embedllm_hf")]:
        del sys.modules[name]
    for task in TASKS:
        del PIPELINE_REGISTRY.supported_tasks[task]
    import embedllm_hf
"""


def test_tasks_are_registered_with_the_models_classes():
    """In a new process each import brings both tasks and the model type; the bare package loads nothing heavy."""
    child = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=600, check=False)
    assert child.returncode == 0, child.stderr


def test_routing_says_what_the_router_says(route, planted_model):
    """A text gives one dict, a list a list, in the router's words and numbers; also for an EmbedLLM in hand."""
    expected = [decision.to_dict() for decision in Router.from_pretrained(planted_model)(QUESTIONS)]
    assert [decision["llm"] for decision in expected] == [LLM, "planted/atlas-large", "planted/healer-large"]
    assert route(QUESTIONS) == expected
    assert [route(question) for question in QUESTIONS] == [pytest.approx(given, abs=1e-6) for given in expected]
    assert pipeline("llm-routing", model=EmbedLLM.from_pretrained(planted_model))(QUESTIONS) == expected
    assert json.loads(json.dumps(expected)) == expected


def test_every_kind_of_input_gives_the_same(route):
    """A list, a tuple, a column, a generator, a data set of torch, in batches that do not divide them."""
    # Which sums the encoder rounds differently in a batch of another size depends on the machine.
    expected = [
        {key: pytest.approx(value, abs=1e-6) if isinstance(value, float) else value for key, value in decision.items()}
        for decision in route(QUESTIONS)
    ]
    table = datasets.Dataset.from_dict({"question": QUESTIONS})
    assert route(tuple(QUESTIONS)) == expected
    assert route(table["question"]) == expected
    assert list(route((question for question in QUESTIONS), batch_size=2)) == expected
    assert list(route(KeyDataset(table, "question"), batch_size=2)) == expected
    assert route([]) == []


def test_a_list_is_encoded_at_once_and_a_stream_in_batches(planted_model):
    """The encoder is called once for a list, and once a batch for a stream, which is read no further than needed."""
    calls = []

    class Spy(QuestionEncoder):
        def encode(self, questions, **options):
            calls.append(len(questions))
            return super().encode(questions, **options)

    route = pipeline("llm-routing", model=str(planted_model), encoder=Spy("offline"))
    route(QUESTIONS, batch_size=2)
    stream = route((question for question in QUESTIONS), batch_size=2)
    assert calls == [3]
    next(stream)
    assert calls == [3, 2]
    assert len(list(stream)) == 2
    assert calls == [3, 2, 1]


def test_llms_to_choose_from_are_given_to_the_call_or_to_the_pipeline(route, planted_model):
    """`llms` limits the choice; the call's wins, and does not stay."""
    scribes = ["planted/scribe-large", "planted/scribe-small"]
    assert route(QUESTIONS[0], llms=["planted/healer-small"])["llm"] == "planted/healer-small"
    limited = pipeline("llm-routing", model=str(planted_model), llms=scribes)
    assert limited(QUESTIONS[0])["llm"] in scribes
    assert limited(QUESTIONS[0], llms=[LLM])["llm"] == LLM
    assert limited(QUESTIONS[0])["llm"] in scribes
    assert route(QUESTIONS[0])["llm"] == LLM


def test_forecasting_says_what_the_forecaster_says(forecast, planted_model):
    """Texts give probabilities, a benchmark and a list of questions a score, alone and side by side."""
    forecaster = Forecaster.from_pretrained(planted_model)
    answers = [answer.to_dict() for answer in forecaster.answers(LLM, QUESTIONS)]
    inputs = [QUESTIONS[0], {"benchmark": "law"}, QUESTIONS[1], {"questions": QUESTIONS}]
    expected = [
        pytest.approx(answers[0], abs=1e-6),
        forecaster.benchmark(LLM, "law").to_dict(),
        pytest.approx(answers[1], abs=1e-6),
        forecaster.questions(LLM, QUESTIONS).to_dict(),
    ]
    assert forecast(inputs) == expected
    assert [forecast(given) for given in inputs] == expected
    exact = forecaster.benchmark(LLM, "law", known_only=True).to_dict()
    assert forecast({"benchmark": "law"}, known_only=True) == exact != expected[1]
    assert forecast(QUESTIONS[0])["probability"] > 0.7 > 0.5 > forecast(QUESTIONS[1])["probability"]
    other = forecast(QUESTIONS[1], llm="planted/atlas-large")
    assert other["llm"] == "planted/atlas-large"
    assert other["probability"] > 0.7


def test_what_cannot_be_done_is_refused(route, forecast, planted_model):
    """Unknown options, LLMs and benchmarks, no LLM, inputs of another kind."""
    with pytest.raises(TypeError, match="unknown option `temperature`, expected some of `cost_weight`"):
        route("Hi?", temperature=1)
    with pytest.raises(TypeError, match="unknown option `temperature`, expected some of `known_only`, `llm`"):
        pipeline("llm-forecasting", model=str(planted_model), temperature=1)
    with pytest.raises(KeyError, match="did you mean `planted/abacus-large`"):
        route("Hi?", llms=["planted/abacus-larg"])
    with pytest.raises(ValueError, match=r"`questions\[1\]` is ''"):
        route(["Hi?", ""])
    with pytest.raises(ValueError, match="`llm` is missing, expected one of `planted/abacus-large`"):
        pipeline("llm-forecasting", model=str(planted_model))("Hi?")
    with pytest.raises(KeyError, match="unknown benchmark `laws`"):
        forecast({"benchmark": "laws"})
    for wrong in (3, {"bench": "law"}, {"benchmark": "law", "questions": []}, None):
        with pytest.raises(ValueError, match="expected a question's text"):
            forecast([QUESTIONS[0], wrong])


def test_a_model_of_another_kind_is_refused():
    """The class that was given, and the one that is expected."""
    sizes = {"vocab_size": 8, "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1}
    with pytest.raises(TypeError, match=r"`model` is a `BertModel`, expected an `EmbedLLM`"):
        pipeline("llm-routing", model=BertModel(BertConfig(num_attention_heads=1, **sizes)))


def test_the_device_is_the_models_and_the_encoders(planted_model):
    """`device` is where both compute."""
    made = pipeline("llm-routing", model=str(planted_model), device="cpu")
    assert made.model.device == made.device == torch.device("cpu")
    assert made.router.encoder.device == "cpu"


def test_by_hub_id_and_offline(hub, planted_model, forecast, tmp_path, monkeypatch):
    """`pipeline(task, model=id)` loads at a revision, and then again from the cache without a request."""
    files = {path.name: path.read_bytes() for path in planted_model.iterdir() if path.is_file()}
    hub.create_repo("user/planted", files)
    options = {"llm": LLM, "model_kwargs": {"cache_dir": tmp_path}}
    online = pipeline("llm-forecasting", model="user/planted", revision="main", **options)
    assert online([QUESTIONS[0], {"benchmark": "law"}]) == forecast([QUESTIONS[0], {"benchmark": "law"}])
    n_requests = len(hub.requests)
    cached = pipeline("llm-forecasting", model="user/planted", local_files_only=True, **options)
    assert cached(QUESTIONS[0]) == forecast(QUESTIONS[0])
    assert len(hub.requests) == n_requests


def test_saving_a_pipeline_saves_its_model(route, tmp_path):
    """No code of the pipeline is copied, and what was saved loads as a pipeline and as a model."""
    route.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.py"))
    assert not hasattr(AutoConfig.from_pretrained(tmp_path), "custom_pipelines")
    assert pipeline("llm-routing", model=str(tmp_path))(QUESTIONS) == route(QUESTIONS)
    assert EmbedLLM.from_pretrained(tmp_path).bank is not None


def test_a_damaged_model_is_named(planted_model, tmp_path):
    """The error that the model raises is in the one that the pipeline raises."""
    EmbedLLM(EmbedLLMConfig(llm_names=["a"], text_dim=384, encoder_name="offline")).save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not the file that the model was saved with"):
        pipeline("llm-routing", model=str(tmp_path))


@pytest.mark.parametrize("task", ["llm-routing", "llm-forecasting"])
def test_a_pipeline_without_a_model_asks_for_one(task):
    """Neither task has a default."""
    with pytest.raises(ValueError, match="`model` is missing: pass the Hub id or folder"):
        pipeline(task)

"""Text encoders of strangers: what is on the list is loaded as it is, and anything else is one line."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from embedllm_hf import QuestionEncoder
from embedllm_hf._errors import UserError
from embedllm_hf.encoding.guest import encoder_digest, encoder_files, load_guest
from embedllm_hf.inference.base import count_tokens
from tests.tiny_encoder import save_tiny_encoder

TEXTS = ["logic is fun", "poetry, 17"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An encoder with each kind of module but the static one."""
    folder = tmp_path_factory.mktemp("guest")
    tiny = SentenceTransformer(str(save_tiny_encoder(folder)), device="cpu")
    modules = [*tiny, Dense(16, 4), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "whole"))
    return folder / "whole"


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "encoder"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))


def refused(folder: Path, match: str) -> None:
    """One line, and the stranger's trap was not touched."""
    with pytest.raises((ValueError, OSError), match=match) as raised:
        load_guest(folder, "cpu")
    assert isinstance(raised.value, UserError)
    assert "\n" not in str(raised.value)


def test_it_gives_what_sentence_transformers_gives(folder):
    """To the bit, whatever else lies in the folder."""
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    (folder / "pytorch_model.bin").write_bytes(b"no weights")
    change(folder / "adapter_config.json", base_model_name_or_path="evil/base", peft_type="LORA")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    np.testing.assert_array_equal(load_guest(folder, "cpu").encode(TEXTS), expected)


def test_only_known_files_are_fetched():
    """Neither code nor pickles nor what lies deeper."""
    kept = ["modules.json", "1_Pooling/config.json", "model.safetensors", "model-00001-of-00002.safetensors"]
    other = [
        "pytorch_model.bin",
        "evil.py",
        "onnx/model.safetensors",
        "a/1_Pooling/config.json",
        "adapter_config.json",
    ]
    assert encoder_files([*kept, *other, "README.md", "../modules.json", "1_Pooling/../config.json"]) == kept


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"])
def test_every_file_is_in_the_digest(folder, file):
    """One byte more changes it; the card, which nothing reads, does not."""
    before = encoder_digest(folder)
    (folder / "README.md").write_text("notes")
    assert encoder_digest(folder) == before
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    assert encoder_digest(folder) != before


@pytest.mark.parametrize(
    "type_",
    ["os.system", "sentence_transformers.util.import_from_string", "evil.Transformer", "sentence_transformers.Router"],
)
def test_other_types_of_modules_are_refused(folder, type_):
    """Also those that are importable."""
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = type_
    (folder / "modules.json").write_text(json.dumps(modules))
    refused(folder, r"modules\.json: the module .* is not one that is loaded here")


def test_sizes_are_bounded_at_all_depths(folder):
    """Before layers are built for which there are no weights."""
    change(folder / "config.json", text_config={"num_hidden_layers": 99_999_999})
    refused(folder, "the setting `num_hidden_layers` is 99999999")


def test_the_first_module_reads_texts(folder):
    """One that does not would fail at the first text."""
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[1:]))
    refused(folder, "begins with 'Pooling', expected Transformer or StaticEmbedding")


def test_values_that_only_a_library_refuses_are_one_line(folder):
    """Whatever it raises."""
    change(folder / "config.json", layer_norm_eps=[])
    refused(folder, "the text encoder cannot be loaded .*layer_norm_eps")


def test_tokens_that_the_weights_do_not_have_are_told(folder):
    """They show at the first text that has one."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["logic"] = 500
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ValueError, match="its tokenizer gives tokens that its weights do not have"):
        QuestionEncoder(str(folder)).encode(["logic"])


def test_a_tokenizer_that_fails_at_a_text_is_told(folder):
    """Its word for what it does not know is not in its own vocabulary, which shows at the first such word."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["[UNQ]"] = vocabulary.pop("[UNK]")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    encoder = QuestionEncoder(str(folder))
    with pytest.raises(ValueError, match=r"cannot encode: its tokenizer fails \(WordPiece error: Missing \[UNK\]"):
        encoder.encode(["\u2603"])
    with pytest.raises(ValueError, match="its tokenizer fails"):
        encoder.cut_texts(["\u2603 " * 5000])
    with pytest.raises(ValueError, match="its tokenizer fails"):
        count_tokens(encoder, ["\u2603"])


@pytest.mark.parametrize("path", ["..", "/etc", "1_Pooling/../..", 7, "a"])
def test_no_module_leaves_the_folder(folder, path):
    """Its place is a folder of the encoder."""
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    refused(folder, "the module's folder .* is none of an encoder")


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("sentence_bert_config.json", {"model_args": {"attn_implementation": "evil/kernel"}}),
        ("sentence_bert_config.json", {"transformer_task": "text-generation"}),
        ("sentence_bert_config.json", {"modality_config": {"text": {"method": "save_pretrained"}}}),
        ("sentence_bert_config.json", {"processing_kwargs": {"text": {"a": 1}}}),
        ("sentence_bert_config.json", {"max_seq_length": "7"}),
        ("config.json", {"auto_map": {"AutoModel": "evil--code.Model"}}),
        ("config.json", {"model_type": "evil"}),
        ("config.json", {"num_hidden_layers": 99_999_999}),
        ("config.json", {"vocab_size": 99_999_999}),
        ("config.json", {"quantization_config": {"quant_method": "evil"}}),
        ("config.json", {"_attn_implementation": "evil/kernel"}),
        ("config.json", {"attn_implementation": {"attn_implementation": "evil/kernel"}}),
        ("config.json", {"transformers_weights": "../x.safetensors"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil--code.T", None]}}),
        ("1_Pooling/config.json", {"evil": "os.system"}),
        ("2_Dense/config.json", {"activation_function": "torch.hub.load"}),
        ("2_Dense/config.json", {"activation_function": "os.system"}),
        ("model.safetensors.index.json", {"weight_map": {"a": "../../x.safetensors"}}),
    ],
)
def test_settings_that_are_not_on_the_list_are_refused(folder, file, values):
    """Each names the file and the setting."""
    change(folder / file, **values)
    refused(folder, f"{file}: the setting `.*{next(iter(values)).split('_')[-1]}")


@pytest.mark.parametrize("content", ["[" * 100_000, "7", "{", "[]", '[{"type": 3}]', "[null]"])
def test_a_list_of_modules_that_is_none_is_refused(folder, content):
    """Whatever the file holds."""
    (folder / "modules.json").write_text(content)
    refused(folder, r"modules\.json: ")


def test_pickles_are_not_read(folder, tmp_path):
    """An encoder whose weights are a pickle is refused, and the pickle is not opened."""

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "trapped",)

    for weights in (folder / "model.safetensors", folder / "2_Dense" / "model.safetensors"):
        content = weights.read_bytes()
        weights.unlink()
        weights.with_name("pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
        refused(folder, "cannot be loaded")
        weights.write_bytes(content)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("kept", [0, 7, 2000])
def test_weights_that_are_cut_are_refused(folder, kept):
    """In one line."""
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:kept])
    refused(folder, "weights|loaded")


def test_a_folder_without_an_encoder_is_said_to_be_none(tmp_path):
    """No encoder is made up from a bare transformer."""
    refused(tmp_path, "has no `modules.json`")

"""Arguments of training: a value out of range is refused by name."""

import numpy as np
import pytest

from embedllm_hf import EmbedLLMTrainingArguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_dir": ""}, "`output_dir` is empty"),
        ({"output_dir": " "}, "`output_dir` is empty"),
        ({"block_size": 0}, "`block_size` is 0, expected 1 or more"),
        ({"block_size": 10**12}, "`block_size` is 1000000000000, expected 1 or more, a million at most"),
        ({"num_train_epochs": 10**9}, "`num_train_epochs` is 1000000000, expected 1 or more, a million at most"),
        ({"block_size": 2.5}, "`block_size` is 2.5, expected a whole number"),
        ({"block_size": True}, "`block_size` is True, expected a whole number"),
        ({"seed": "0"}, "`seed` is '0', expected a whole number"),
        ({"seed": -1}, "`seed` is -1, expected a number from 0 to"),
        ({"seed": 2**64}, f"`seed` is {2**64}, expected a number from 0 to"),
        ({"learning_rate": None}, "`learning_rate` is None, expected a number"),
        ({"learning_rate": float("nan")}, "`learning_rate` is nan, expected more than 0"),
        ({"learning_rate": float("inf")}, "`learning_rate` is inf, expected more than 0"),
        ({"weight_decay": float("inf")}, "`weight_decay` is inf, expected 0 or more"),
        ({"weight_decay": 1e30}, r"`weight_decay` is 1e\+30, expected 0 or more, less than 1e12"),
        ({"learning_rate": 10**400}, "expected more than 0, less than 1e12"),
        ({"adapter_rank": 10**9}, "`adapter_rank` is 1000000000, expected 0 or more, 4096 at most"),
        ({"save_checkpoints": "no"}, "`save_checkpoints` is 'no', expected True or False"),
        ({"learning_rate": 0.0}, "`learning_rate` is 0.0, expected more than 0"),
        ({"weight_decay": -1.0}, "`weight_decay` is -1.0, expected 0 or more"),
        ({"warmup_ratio": 1.0}, "`warmup_ratio` is 1.0, expected a share"),
        ({"validation_share": -0.1}, "`validation_share` is -0.1, expected a share"),
        ({"mixed_precision": "fp8"}, "`mixed_precision` is 'fp8'"),
        ({"lr_scheduler_type": "step"}, "`lr_scheduler_type` is 'step'"),
        ({"encoder_epochs": 0}, "`encoder_epochs` is 0, expected 1 or more"),
        ({"encoder_learning_rate": 0.0}, "`encoder_learning_rate` is 0.0, expected more than 0"),
        ({"ranking_weight": -1.0}, "`ranking_weight` is -1.0, expected 0 or more"),
        ({"adapter_rank": -1}, "`adapter_rank` is -1, expected 0 or more"),
        ({"encoder_precision": "fp8"}, "`encoder_precision` is 'fp8'"),
    ],
)
def test_arguments_are_checked(change, message):
    """Each message names what was found and what was expected."""
    with pytest.raises((ValueError, TypeError), match=message):
        EmbedLLMTrainingArguments(**change)


def test_numbers_of_numpy_and_paths_are_taken(tmp_path):
    """As Python's own, which can be written as JSON."""
    args = EmbedLLMTrainingArguments(output_dir=tmp_path, seed=np.int64(3), learning_rate=np.float32(0.5))
    assert (args.output_dir, args.seed, args.learning_rate) == (str(tmp_path), 3, 0.5)
    assert {type(args.output_dir), type(args.seed), type(args.learning_rate)} == {str, int, float}

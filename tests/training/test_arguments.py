"""Arguments of training: a value out of range is refused by name."""

import pytest

from embedllm_hf import EmbedLLMTrainingArguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_size": 0}, "`block_size` is 0, expected 1 or more"),
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
    with pytest.raises(ValueError, match=message):
        EmbedLLMTrainingArguments(**change)

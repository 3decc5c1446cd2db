"""`embedllm evaluate`: a model beside the baselines, as a table and as JSON."""

from __future__ import annotations

import argparse
import json

from ._options import add_data_options, embed_questions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--model", required=True, help="Hub id or folder of a trained model")
    add_data_options(parser, split="test")
    parser.add_argument("--output", help="file for the report as JSON")


def main(options: argparse.Namespace) -> int:
    """Fit the baselines on the training split, measure, print."""
    from .._checks import whole_file
    from ..baselines import fit_baselines
    from ..data.hub import available_splits, dataset_revision, load_responses
    from ..evaluation import evaluate_model
    from ..modeling_embedllm import EmbedLLM
    from ..question_encoder import encoder_of

    model = EmbedLLM.from_pretrained(options.model)
    encoder = encoder_of(model.config)
    source = {"revision": options.dataset_revision, "duplicates": options.duplicates}
    there = available_splits(options.dataset, revision=options.dataset_revision)
    wanted = {"train", options.split} | ({"validation"} & set(there))
    splits = {
        split: load_responses(options.dataset, split=split, llm_names=model.config.llm_names, **source)
        for split in sorted(wanted)
    }
    embeds = {
        split: embed_questions(responses, encoder, options.question_embeddings) for split, responses in splits.items()
    }
    report = evaluate_model(
        model,
        splits[options.split],
        embeds[options.split],
        baselines=fit_baselines(splits["train"], embeds["train"], splits.get("validation"), embeds.get("validation")),
        dataset_id=options.dataset,
        revision=dataset_revision(options.dataset, options.dataset_revision),
        split=options.split,
    )
    print(report)
    if options.output:
        with whole_file(options.output) as partial:
            partial.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    return 0

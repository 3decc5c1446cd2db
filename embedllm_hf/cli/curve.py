"""`embedllm curve`: quality against cost for a range of cost weights, as a table, as JSON and as a picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ._options import add_data_options, embed_questions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--model", required=True, help="Hub id or folder of a trained model")
    add_data_options(parser, split="test")
    parser.add_argument(
        "--costs", required=True, help="CSV with `llm` or `model_name`, and `cost` or `usd_per_million_output_tokens`"
    )
    parser.add_argument("--output", help="file for the curves as JSON")
    parser.add_argument("--figure", help="file for the picture, PNG")


def main(options: argparse.Namespace) -> int:
    """Fit the baselines on the training split, sweep the cost weight, print."""
    from ..baselines import fit_baselines
    from ..cost_report import cost_report
    from ..data.hub import available_splits, load_responses
    from ..data.llm_table import read_costs
    from ..modeling_embedllm import EmbedLLM
    from ..question_encoder import encoder_of

    costs = read_costs(options.costs)
    model = EmbedLLM.from_pretrained(options.model)
    encoder = encoder_of(model.config)
    source = {"revision": options.dataset_revision, "duplicates": options.duplicates}
    there = available_splits(options.dataset, revision=options.dataset_revision)
    splits = {
        split: load_responses(options.dataset, split=split, llm_names=model.config.llm_names, **source)
        for split in sorted({"train", options.split} | ({"validation"} & set(there)))
    }
    embeds = {
        split: embed_questions(responses, encoder, options.question_embeddings) for split, responses in splits.items()
    }
    baselines = fit_baselines(splits["train"], embeds["train"], splits.get("validation"), embeds.get("validation"))
    report = cost_report(model, splits[options.split], embeds[options.split], baselines=baselines, costs=costs)
    print(report)
    if options.output:
        Path(options.output).write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    if options.figure:
        from ..plots import cost_quality_figure, save_png

        save_png(cost_quality_figure(report.to_dict()["benchmarks"]), options.figure)
    return 0

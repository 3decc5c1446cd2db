"""`embedllm evaluate`: a model beside the baselines, as a table and as JSON; or how well unseen LLMs are placed."""

from __future__ import annotations

import argparse

from .._errors import InputError
from ._options import COSTS_HELP, add_data_options, check_output_file, load_measured, read_fixed_costs, write_json
from ._unseen import add_unseen_options, evaluate_unseen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--model", help="Hub id or folder of a trained model; not needed with --unseen_llms")
    add_data_options(parser, split="test")
    parser.add_argument("--costs", help=f"{COSTS_HELP}; adds AIQ")
    parser.add_argument(
        "--min_success", type=float, default=0.8, help="the guarantee that is checked, see `route` (default: 0.8)"
    )
    parser.add_argument("--output", help="file for the report as JSON")
    parser.add_argument(
        "--unseen_llms",
        action="store_true",
        help="hold out LLMs in folds, train without them, place them from answers",
    )
    add_unseen_options(parser)


def main(options: argparse.Namespace) -> int:
    """Measure beside the baselines, print."""
    check_output_file("--output", options.output)
    if options.unseen_llms:
        return evaluate_unseen(options)
    if options.model is None:
        raise InputError("--model is needed: the Hub id or folder of a trained model (or --unseen_llms).")
    from ..data.llm_table import read_costs
    from ..evaluation.cost_report import cost_report
    from ..evaluation.measure import evaluate_model
    from ..inference.policy import check_min_success

    check_min_success(options.min_success)
    if options.costs is not None:
        read_costs(options.costs)  # refused before anything is loaded
    model, split, baselines = load_measured(options)
    costs = None
    if options.costs is not None:
        costs = read_fixed_costs(options.costs, model.encoder, split.responses.questions)
    report = evaluate_model(model, split, baselines=baselines, costs=costs, min_success=options.min_success)
    print(report)
    content = report.to_dict()
    if costs is not None:
        curves = cost_report(model, split, baselines=baselines, costs=costs)
        content["aiq"] = curves.aiq()
        print(f"\n{curves.aiq_table()}")
    if options.output:
        write_json(options.output, content)
    return 0

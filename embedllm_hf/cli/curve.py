"""`embedllm curve`: quality against cost for a range of cost weights, as a table, as JSON and as a picture."""

from __future__ import annotations

import argparse
from typing import Any

from ._options import (
    COSTS_HELP,
    add_data_options,
    add_shared_options,
    check_output_file,
    load_measured,
    print_json,
    read_fixed_costs,
    write_json,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add_shared_options(parser, "model")
    add_data_options(parser, split="test")
    parser.add_argument("--costs", required=True, help=COSTS_HELP)
    parser.add_argument("--json", action="store_true", help="print the curves as JSON")
    parser.add_argument("--output", help="file for the curves as JSON")
    parser.add_argument("--figure", help="file for the picture, PNG")


def main(options: argparse.Namespace) -> int:
    """Sweep the cost weight beside the baselines, print."""
    from ..data.llm_table import read_costs
    from ..evaluation.cost_report import cost_report

    check_output_file("--output", options.output)
    check_output_file("--figure", options.figure)
    read_costs(options.costs)  # refused before anything is loaded
    model, split, baselines = load_measured(options)
    costs = read_fixed_costs(options.costs, model.encoder, split.responses.questions)
    report = cost_report(model, split, baselines=baselines, costs=costs)
    content: dict[str, Any] = report.to_dict()
    if options.json:
        print_json(content)
    else:
        print(report)
    if options.output:
        write_json(options.output, content)
    if options.figure:
        from ..plots import cost_quality_figure, save_png

        save_png(cost_quality_figure(content["benchmarks"]), options.figure)
    return 0

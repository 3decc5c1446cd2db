"""Measure how fast the library is, beside slow references and the matrix products it cannot avoid.

python -m scripts.speed                            # all rows, some minutes
python -m scripts.speed scoring start --output speed.json
python -m scripts.speed real --dataset D --question_embeddings F    # the row that needs real data
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path


def main() -> int:
    """Print the table, and write JSON if asked to."""
    from .report import ROWS, measure, report_table
    from .settings import SpeedSettings

    parser = argparse.ArgumentParser("python -m scripts.speed", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it runs, not for figures")
    parser.add_argument("--full_csv", action="store_true", help="3.3 million rows of CSV (2.7 GB) in place of a tenth")
    parser.add_argument("--dataset", help="data set of responses for the row `real`: Hub id or folder")
    parser.add_argument("--question_embeddings", help="safetensors file with the text vectors of its questions")
    parser.add_argument("--output", help="file for the report as JSON")
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown row {', '.join(sorted(unknown))}; known are {', '.join(ROWS)}")
    if (options.dataset is None) != (options.question_embeddings is None):
        parser.error("--dataset and --question_embeddings go together: give both, or neither")
    settings = SpeedSettings.quick() if options.quick else SpeedSettings()
    settings = replace(settings, dataset=options.dataset, question_embeddings=options.question_embeddings)
    if options.full_csv:
        settings = replace(settings, csv_rows=3_300_000)
    report = measure(options.rows or ROWS, settings)
    print(report_table(report))
    if options.dataset is None and "real" in (options.rows or ROWS):
        print("\nThe row `real` was left out: it needs --dataset and --question_embeddings.")
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Measure and check on a GPU what only a GPU can show.

python -m scripts.gpu --output gpu.json          # all rows, some minutes
python -m scripts.gpu resume forecasts           # some of them
python -m scripts.gpu --device cpu --quick       # every row's code, without a GPU
"""

import argparse
import json
import os
import sys
from pathlib import Path

PASSED, FAILED, SKIPPED = 0, 1, 77  # the last as automake and Meson have it for a test that could not be made
_CODES = f"Exit code: {PASSED} if every row is as expected, {FAILED} if one is not, {SKIPPED} if there is no GPU."


def main(argv: list[str] | None = None) -> int:
    """Print the table, and write JSON if asked to; the exit code says whether all is as expected."""
    parser = argparse.ArgumentParser("python -m scripts.gpu", description=__doc__.splitlines()[0], epilog=_CODES)
    parser.add_argument("rows", nargs="*", metavar="row", help="which rows (default: all)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try the code itself")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it runs, not for figures")
    parser.add_argument("--output", help="file for the report as JSON")
    options = parser.parse_args(argv)

    from .device import why_no_gpu

    missing = why_no_gpu() if options.device == "cuda" else None
    if missing is not None:
        print(f"SKIPPED: no GPU: {missing}. Nothing was checked.", file=sys.stderr)
        return SKIPPED
    if options.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # read by the trainers, which would take a GPU if there is one

    from .report import ROWS, measure, report_table
    from .settings import GpuSettings

    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown row {', '.join(sorted(unknown))}; known are {', '.join(ROWS)}")
    sizes = GpuSettings.quick if options.quick else GpuSettings
    report = measure(options.rows or ROWS, sizes(device=options.device))
    print(report_table(report))
    if options.output:
        Path(options.output).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return FAILED if any(row["passed"] is False for row in report["rows"]) else PASSED


if __name__ == "__main__":
    raise SystemExit(main())

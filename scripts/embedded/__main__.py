"""Make the data set that the package brings: `python -m scripts.embedded --open_llm_responses D --kor_bench K`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .build import EMBEDDED, canonical_names, load_sources, merge, write


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the sources' folders."""
    parser.add_argument("--open_llm_responses", type=Path, required=True, help="folder of the data set of that name")
    parser.add_argument("--kor_bench", type=Path, required=True, help="folder of the data set of that name")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the folder and say what is in it."""
    parser = argparse.ArgumentParser("python -m scripts.embedded", description=__doc__)
    add_sources(parser)
    parser.add_argument("--output_dir", type=Path, default=EMBEDDED, help="default: the package's own")
    options = parser.parse_args(argv)
    splits = merge(load_sources([options.open_llm_responses, options.kor_bench], canonical_names()))
    write(splits, options.output_dir)
    for split, encoded in splits.items():
        print(f"{split}: {encoded.responses.summary()}")
    size = sum(path.stat().st_size for path in options.output_dir.iterdir())
    print(f"{size / 1e6:.1f} MB in {options.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

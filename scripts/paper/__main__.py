"""Reproduce the experiments of EmbedLLM on a data set, and go beyond them: tables, figures and one report.

python -m scripts.paper --dataset RZ412/EmbedLLM --encoder sentence-transformers/all-mpnet-base-v2 \
    --output_dir runs/paper
python -m scripts.paper --dataset planted --output_dir runs/paper-quick --quick      # half a minute

What is finished is kept in the output folder: the same command goes on where it was interrupted.
"""

import argparse
import logging
import os
import shlex
import sys
from pathlib import Path

PROGRAM = "python -m scripts.paper"


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="Hub data set id, a folder in the same layout, or `planted`")
    parser.add_argument("--dataset_revision", help="branch, tag or commit of a Hub data set")
    parser.add_argument("--output_dir", required=True, type=Path, help="folder of the report")
    parser.add_argument("--encoder", default="offline", help="text encoder: Hub id, folder or `offline` (the default)")
    parser.add_argument("--question_embeddings", help="safetensors file of its vectors, instead of encoding")
    parser.add_argument(
        "--more_question_embeddings",
        action="append",
        default=[],
        metavar="ENCODER=FILE",
        help="vectors of a further encoder, for the ablation; may be given several times",
    )
    parser.add_argument("--llms", help="CSV file with what is known of the LLMs: family, kind, params_billions")
    parser.add_argument("--quick", action="store_true", help="the same from less data, in half a minute: to try it")
    parser.add_argument("--sections", nargs="+", metavar="NAME", help="run only these sections")
    parser.add_argument("--n_processes", type=int, help="sections that run side by side (default: 2 where possible)")
    return parser


def public_command(options: argparse.Namespace) -> str:
    """The command for the report: of folders and files only the names, since their places differ by machine."""
    words = [*PROGRAM.split()]
    for name, value in vars(options).items():
        for item in value if name == "more_question_embeddings" else [value]:
            if item in (None, False) or name == "n_processes":
                continue
            if name == "sections":
                words += [f"--{name}", *item]
            elif item is True:
                words.append(f"--{name}")
            else:
                encoder, equals, file = str(item).rpartition("=")
                local = Path(file).exists() or name == "output_dir"
                words += [f"--{name}", encoder + equals + (Path(file).name if local else file)]
    return shlex.join(words)


def main(argv: list[str] | None = None) -> int:
    """Load the data, run what is missing, write the report."""
    parser = make_parser()
    options = parser.parse_args(argv)
    more = dict(item.split("=", 1) for item in options.more_question_embeddings if "=" in item)
    if len(more) < len(options.more_question_embeddings):
        parser.error("--more_question_embeddings: expected ENCODER=FILE, each encoder once")
    logging.basicConfig(level=logging.WARNING)

    from embedllm_hf._errors import UserError

    from .report import write_report
    from .setting import FULL, QUICK, load_data

    try:
        data = load_data(
            options.dataset,
            QUICK if options.quick else FULL,
            revision=options.dataset_revision,
            encoder=options.encoder,
            question_embeddings=options.question_embeddings,
            more_question_embeddings=more,
            llms=options.llms,
        )
        report = write_report(
            options.output_dir,
            data,
            sections=options.sections,
            command=public_command(options),
            n_processes=options.n_processes or min(2, os.cpu_count() or 1),
        )
    except (UserError, OSError) as error:  # anything else is a bug, and shows
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    print(f"the report is {report}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

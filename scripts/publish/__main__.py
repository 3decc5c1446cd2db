"""Publish: `python -m scripts.publish --user NAME`.

Pushes the data set, a model trained from it there (half a minute), a model with a trained text encoder if a folder
with one is given, and a Space with the first model; then loads everything from the Hub and compares. What is there
already is not pushed again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from embedllm_hf import EmbedLLM, load_splits
from embedllm_hf._errors import UserError
from embedllm_hf.data.files import EMBEDDED
from embedllm_hf.hub.commits import differing

from . import checks, parts
from .parts import Part


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser("python -m scripts.publish", description=__doc__.split("\n\n")[1])
    parser.add_argument("--user", required=True, help="account or organisation of the Hub that everything goes to")
    parser.add_argument(
        "--dataset",
        default=EMBEDDED.name,
        help=f"a data set's folder, with its card and text vectors (default: {EMBEDDED.name}, of the package)",
    )
    parser.add_argument("--model", type=Path, help="a trained model's folder (default: one is trained)")
    parser.add_argument("--trained_encoder_model", type=Path, help="folder of a model with a trained text encoder")
    parser.add_argument(
        "--work_dir", type=Path, default=Path("runs/publish"), help="where a model is trained (default: %(default)s)"
    )
    parser.add_argument("--private", action="store_true", help="make new repositories private")
    parser.add_argument("--dry_run", action="store_true", help="push nothing; say what would be pushed")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Publish and check; 1 if a check fails, 2 after one line about something that the user can mend."""
    options = make_parser().parse_args(argv)
    try:
        return publish(options)
    except UserError as error:
        print(f"publish: error: {error}", file=sys.stderr)
        return 2


def publish(options: argparse.Namespace) -> int:
    """Push and check part by part; 1 if a check fails."""
    source = EMBEDDED if options.dataset == EMBEDDED.name else Path(options.dataset)
    dataset_id = f"{options.user}/{source.resolve().name}"
    model_id = f"{options.user}/embedllm-{source.resolve().name}"
    trained_id, space_id = f"{model_id}-trained-encoder", f"{options.user}/embedllm-router"
    # Whatever can be wrong with what is given is told before anything is pushed.
    data = load_splits(options.dataset)
    data_part = parts.data_part(dataset_id, source, private=options.private)
    frozen = options.model and parts.given_model(options.model, trained_encoder=False)
    trained = options.trained_encoder_model and parts.given_model(options.trained_encoder_model, trained_encoder=True)
    parts.check_user(options.user)

    steps = Steps(options.dry_run, options.private)
    compared = partial(checks.same_responses, dataset_id, data)
    revision = steps.push(data_part, compared, partial(checks.data_card, dataset_id))
    if frozen is None and not options.dry_run:
        frozen = parts.trained_model(dataset_id, revision, options.work_dir)
    for repo_id, model in ((model_id, frozen), (trained_id, trained)):
        if model is not None:
            steps.push_model(repo_id, parts.named_on_hub(model, data, dataset_id, revision))
        elif repo_id == model_id:
            print(f"{model_id}: would be trained, and pushed unless it is there")
        else:
            print(f"{trained_id}: left out, it takes texts and half an hour to train; give --trained_encoder_model")
    space = parts.space_part(space_id, model_id, private=options.private)
    steps.push(space, partial(checks.space_card, space_id, model_id))
    if options.private:
        print(f"{space_id}: reads a private model, so give it a token as the secret HF_TOKEN, in its settings")
    return int(steps.n_failed > 0)


@dataclass
class Steps:
    """Pushes parts and says so.

    Attributes:
        dry_run (`bool`): Only say what would be pushed.
        private (`bool`): Of new repositories.
        n_failed (`int`): Checks that have failed so far.
    """

    dry_run: bool
    private: bool
    n_failed: int = 0

    def push(self, part: Part, *loaded: Callable[[], str]) -> str | None:
        """Push what is not there yet and check it; the commit, None in a dry run that would push.

        Args:
            part (`Part`): What is to be there.
            loaded (`Callable`): Checks beside that of its files.
        """
        target = part.target
        other = differing(target, part.files)
        count = f"{len(other)} of {len(part.files)} files"
        if other and self.dry_run:
            print(f"{target.repo_id}: would push {count} to this {target.repo_type}")
            return None
        revision = part.push().oid if other else parts.revision_of(target)
        print(f"{target.repo_id}: {f'pushed {count}' if other else 'already there'}, commit {revision[:8]}")
        for check in () if self.dry_run else (partial(checks.same_files, part), *loaded):
            self._check(target.repo_id, check)
        return revision

    def push_model(self, repo_id: str, model: EmbedLLM) -> None:
        """Push and check a model; what `push_to_hub` will push is saved before, to be compared."""
        with tempfile.TemporaryDirectory() as folder:
            part = parts.model_part(repo_id, model, Path(folder), private=self.private)
            self.push(part, partial(checks.same_forecasts, repo_id, model), partial(checks.model_card, repo_id, model))

    def _check(self, repo_id: str, check: Callable[[], str]) -> None:
        try:
            with checks.empty_cache():
                print(f"{repo_id}: checked, {check()}")
        except UserError as error:
            self.n_failed += 1
            print(f"{repo_id}: CHECK FAILED, {error}")


if __name__ == "__main__":
    sys.exit(main())

"""Gate: is the model of the workspace worse than that of a git revision, beyond chance?

Compares metrics/predictions.csv of the workspace with that of the revision, on the movies that both have. Balanced
accuracy, macro-F1, log-loss and the mean error of the rating (where both files have ratings) are compared with paired
bootstrap intervals, balanced accuracy also for each genre, decade, range of votes and other slice. The intervals are so
wide that one of them excludes 0 by chance in at most 5% of the comparisons of equally good models. The true labels and
ratings are those of the workspace. Slices need data/clean/movies.parquet.

Exit codes: 0 no figure is worse beyond chance, 1 a figure is, 2 a problem that the message names, 130 interrupted.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from movie_ratings import params
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import CLEAN, PREDICTIONS

EXIT_WORSE: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.gate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--against", required=True, metavar="REVISION", help="a commit, branch, tag or anything else that git resolves"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request")
    options = parser.parse_args(arguments)
    passed = True

    def run() -> None:
        nonlocal passed
        passed = gate(options.against, options.markdown)

    return exit_code(run) or (0 if passed else EXIT_WORSE)


def gate(revision: str, is_markdown: bool) -> bool:
    """Print the comparison; returns whether no figure is worse beyond chance.

    Raises:
        UserError: there is no such revision, a file is missing or damaged, or the two cannot be compared.
    """
    from movie_ratings.monitoring import facts, predictions, table  # scikit-learn and Polars: not for --help
    from movie_ratings.monitoring.gate import compare

    options = params.load().evaluate
    commit = resolved(revision)
    old_name, new_name = f"{PREDICTIONS} of {revision}", PREDICTIONS
    old = predictions.parse(content_at(commit, revision), old_name)
    try:
        text = Path(PREDICTIONS).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{PREDICTIONS}: no such file; run the stage evaluate (`dvc repro` runs all)") from None
    except UnicodeDecodeError:
        raise UserError(f"{PREDICTIONS}: not UTF-8") from None
    pair = predictions.pair(predictions.parse(text, new_name), old, (new_name, old_name))

    notes = [f"compared with {revision} ({commit[:12]}) on {len(pair.ids):,} movies that both predicted"]
    if pair.other_labels:
        notes.append(f"{pair.other_labels:,} of them had another true label there; the labels here count")
    if pair.new.ratings is None:
        notes.append("the mean error of the rating is not compared, because one of the files has no ratings")
    known = facts.of_movies(pair.ids) if Path(CLEAN).exists() else []
    if not known:
        notes.append(f"slices are skipped, because {CLEAN} is not here (`dvc pull {CLEAN}` brings it)")
    figures = compare(pair, known, options, _show)
    _show("")
    if is_markdown:
        print(table.markdown(figures, notes), end="")
    else:
        print(table.plain(figures))
        for note in notes:
            print(note)
        print(f"gate: {table.verdict(figures)}")
    return all(figure.verdict != "worse" for figure in figures)


def resolved(revision: str) -> str:
    """The commit of a revision.

    Raises:
        UserError: this is no git repository, or it has no such revision.
    """
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.returncode:
        raise UserError(f"--against {revision}: no such revision of a git repository here")
    return done.stdout.decode().strip()


def content_at(commit: str, revision: str) -> str:
    """The content of metrics/predictions.csv at a commit.

    Raises:
        UserError: the commit has no such file, or the file is not UTF-8.
    """
    # "./" makes the path relative to the working directory, which may be a subfolder of the git repository.
    done = _git("show", f"{commit}:./{PREDICTIONS}")
    if done.returncode:
        raise UserError(f"--against {revision}: has no {PREDICTIONS}, so there is nothing to compare with")
    try:
        return done.stdout.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{PREDICTIONS} of {revision}: not UTF-8") from None


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("git: no such command; --against needs git") from None


def _show(line: str) -> None:
    """Show what is being computed on one line of a terminal; an empty line removes it."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line and f'gate: {line}'}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

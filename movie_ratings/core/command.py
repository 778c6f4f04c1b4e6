"""What all commands of the project share: help, one-line errors, exit codes and the lock on outputs."""

import argparse
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from movie_ratings.core.errors import UserError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def run_stage(stage: Callable[[], None], outputs: Sequence[str]) -> None:
    """Run a pipeline stage, or a benchmark, as ``python -m stages.NAME`` and exit.

    The help text is the docstring of the module that defines ``stage``. While it runs, the stage holds a lock on
    each of ``outputs`` (paths relative to the working directory), so that a stage left behind by a killed ``dvc``
    and its successor never write the same file.

    Exit codes: 0 done, 2 a problem that the message names, 130 interrupted.
    """
    stage_parser(stage, outputs).parse_args()
    sys.exit(exit_code(locked(stage, outputs)))


def stage_parser(stage: Callable[[], None], outputs: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of a stage's command line, for stages with flags of their own."""
    module = inspect.getmodule(stage)
    file = Path(inspect.getfile(stage))
    return argparse.ArgumentParser(
        prog=f"python -m {file.parent.name}.{file.stem}",
        description=inspect.getdoc(module),
        epilog="Reads params.yaml and the folders data/, models/ and metrics/ of the working directory. "
        f"Writes: {', '.join(outputs)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def locked(stage: Callable[[], None], outputs: Sequence[str]) -> Callable[[], None]:
    """The stage, run while a lock on each of ``outputs`` is held."""
    # Importing it takes a tenth of a second, which one prediction need not pay.
    from movie_ratings.core.locks import lock_outputs

    def run() -> None:
        with lock_outputs(outputs):
            stage()

    return run


def exit_code(command: Callable[[], None]) -> int:
    """Run ``command`` and return its exit code; errors that a user can correct become one line on standard error."""
    try:
        command()
    except UserError as error:
        return _report(str(error))
    except BrokenPipeError:
        # The reader of our output closed the pipe (`… | head`): writing at interpreter exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USER_ERROR
    except OSError as error:
        if error.errno is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        return _report(f"{place}{error.strerror}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _report(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return EXIT_USER_ERROR

"""Every command of the project describes itself, and imports what it needs."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.builders import ROOT

STAGES = [path.stem for path in (ROOT / "stages").glob("[a-z]*.py")]
BENCHMARKS = [path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py")]
COMMANDS = sorted([f"stages.{name}" for name in STAGES] + [f"benchmarks.{name}" for name in BENCHMARKS])


# Runs each command as ``python -m`` does, all in one interpreter: most of a command's start is what it imports.
HELP = """
import contextlib, io, json, runpy, sys
found = {}
for command in sys.argv[1:]:
    sys.argv, printed, code = [command, "--help"], io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        try:
            runpy.run_module(command, run_name="__main__", alter_sys=True)
        except SystemExit as exit:
            code = exit.code or 0
    found[command] = code, printed.getvalue()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """The exit code of each command's --help, and what the command printed."""
    done = subprocess.run(
        [sys.executable, "-c", HELP, *COMMANDS],
        cwd=tmp_path_factory.mktemp("empty"),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, printed: dict[str, tuple[int, str]]) -> None:
    code, text = printed[command]
    assert code == 0
    assert f"python -m {command}" in text
    assert len(text.splitlines()) > 5


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "unneeded"), [("audit", "torch"), ("explore", "transformers.modeling_utils")])
def test_a_stage_imports_no_library_of_training_that_it_does_not_need(stage: str, unneeded: str) -> None:
    """These take longer to import than anything else that the two stages import."""
    code = f"import sys; import stages.{stage}; print({unneeded!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

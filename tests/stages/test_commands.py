"""Every command of the project describes itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builders import ROOT

STAGES = ["fetch", "clean", "explore", "split", "baseline", "train", "evaluate", "predict"]
BENCHMARKS = [path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py")]
COMMANDS = [f"stages.{name}" for name in STAGES] + [f"benchmarks.{name}" for name in BENCHMARKS]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", command, "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert f"python -m {command}" in done.stdout
    assert len(done.stdout.splitlines()) > 5

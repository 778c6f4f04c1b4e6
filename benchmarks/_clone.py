"""A clone of this repository in which DVC runs the pipeline on invented movies with a tiny model."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

ROOT: Final = Path(__file__).parent.parent
STAGES: Final = (
    "fetch", "clean", "history", "explore", "split", "baseline", "train", "export", "evaluate", "audit", "report",
)  # fmt: skip
WRITES: Final = ("data", "models", "metrics")


class Clone:
    """The last commit in a folder of its own, with ``rows`` invented movies as its source."""

    def __init__(self, folder: Path, rows: int):
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        self.run("-m", "benchmarks.generate", str(rows), "inputs/invented.parquet")
        self.run("-m", "benchmarks._tiny", "tiny")
        self._set_params()

    def repro(self, stage: str) -> dict[str, float]:
        """Let DVC run one stage: seconds with DVC's own, the peak of resident memory, megabytes more on the disk.

        Those are what is written and DVC's cache of it, counted once where one is a link to the other.
        """
        before = self.disk()
        figures = self.run("-m", "dvc", "repro", "--single-item", stage)
        return figures | {"disk_megabytes": self.disk() - before}

    def killed(self, stage: str, seconds: float) -> bool:
        """Start one stage and kill DVC and all that it started after some seconds; False if it was done by then."""
        command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        return False

    def results(self) -> dict[str, Any]:
        """The hash of everything that the stages have written, by stage and path."""
        stages = YAML(typ="safe").load(self.folder / "dvc.lock")["stages"]
        return {f"{stage} {out['path']}": out["md5"] for stage, found in stages.items() for out in found["outs"]}

    def reset(self) -> None:
        """Forget everything that was made."""
        for place in (*WRITES, ".dvc/cache", ".dvc/tmp"):
            subprocess.run(["rm", "-rf", place], cwd=self.folder, check=True)
        subprocess.run(["git", "checkout", "--quiet", "dvc.lock", "metrics"], cwd=self.folder, check=True)

    def disk(self) -> float:
        """Megabytes of what was written and of DVC's cache."""
        places = [self.folder / name for name in (*WRITES, ".dvc/cache")]
        found = [file.lstat() for place in places for file in place.rglob("*") if not file.is_dir()]
        return sum({entry.st_ino: entry.st_size for entry in found}.values()) / 1e6

    def run(self, *arguments: str) -> dict[str, float]:
        """`run` in the clone."""
        return run(self.folder, *arguments)

    def _set_params(self) -> None:
        yaml = YAML()
        found = yaml.load(self.folder / "params.yaml")
        found["fetch"]["source"] = "files"
        found["fetch"]["files"] |= {"paths": ["inputs/invented.parquet"], "max_bad_share": 0.2}
        found["history"]["sources"] = ["wikidata"]
        found["model"]["name"] = str(self.folder / "tiny")
        found["train"] |= {"freeze_layers": 0, "batch_size": 256, "epochs": 1, "learning_rate": 0.003}
        yaml.dump(found, self.folder / "params.yaml")


def run(folder: Path, *arguments: str) -> dict[str, float]:
    """Run this repository's Python in a folder; seconds and the peak of resident memory of it or of what it started.

    It must succeed. The peak is no less than that of this process, which for that reason should import little.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), arguments)
    return {"seconds": time.perf_counter() - start, "megabytes": usage.ru_maxrss / 1e3}


def environment() -> dict[str, str]:
    """Where "python", with which the stages' commands begin, is this one, and modules are those of this repository."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1", "TQDM_DISABLE": "1"}

"""The processor that a benchmark runs on: without it, nobody can compare a figure with one of another machine.

`python -m benchmarks._processor` prints the description as JSON.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from movie_ratings.core import processor

# The instructions that decide how fast matrices are multiplied, as Linux names them.
INSTRUCTIONS: Final = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "bf16", "i8mm"
)  # fmt: skip
SIZE: Final = 1024  # rows and columns of the matrices that are multiplied
SECONDS: Final = 1.0  # for each type of number


def described() -> dict[str, Any]:
    """Model, cores, instructions and measured GFLOP/s of this processor.

    Another process measures: torch would stay in this process, whose memory some benchmarks compare.
    """
    command = [sys.executable, "-m", "benchmarks._processor"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def in_words(found: dict[str, Any] | None) -> str:
    """A description as prose: "AMD EPYC (family 25, model 1), 2 cores with AVX2; 80 GFLOP/s in fp32, 9 in bf16"."""
    if found is None:
        return "a processor that was not recorded"
    names = ", ".join(name.upper().replace("_", "-") for name in found["instructions"])
    speeds = ", ".join(f"{speed:.0f} GFLOP/s in {name}" for name, speed in found["gflops"].items())
    cores = f"{found['model']}, {found['cores']} cores"
    return cores + (f" with {names}" if names else "") + (f": {speeds}" if speeds else "")


def main() -> None:
    import torch

    about = processor.read()
    model = about.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in about:
        # A virtual machine often has the name of a family alone; these two numbers tell its generations apart.
        model += f" (family {about['cpu family']}, model {about['model']})"
    flags = processor.flags(about)
    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    print(
        json.dumps(
            {
                "model": model,
                "cores": len(os.sched_getaffinity(0)),
                "instructions": [name for name in INSTRUCTIONS if name in flags],
                "gflops": {name: round(_gflops(torch.rand(SIZE, SIZE).to(kind)), 1) for name, kind in types.items()},
            }
        )
    )


def _gflops(matrix: Any) -> float:
    """Billions of multiplications and additions a second: the best of the products that fit into `SECONDS`."""
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    return 2 * SIZE**3 / best / 1e9


if __name__ == "__main__":
    main()

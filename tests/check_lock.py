"""Fails unless dvc.lock, dvc.yaml, params.yaml and the code are in step: `dvc repro` would run nothing."""

import subprocess
import sys

done = subprocess.run(["dvc", "repro", "--dry", "--allow-missing"], capture_output=True, text=True, check=False)
stale = [line for line in done.stdout.splitlines() if line.startswith("Running stage")]
if done.returncode or stale:
    print(done.stdout + done.stderr, file=sys.stderr)
    sys.exit("dvc.lock is behind: run `dvc repro` and commit dvc.lock and metrics/")
print("dvc.lock is in step")

"""Follow the Dockerfile without a Docker engine: install its requirements, copy its files, run its command as its user.

The instructions are read from the Dockerfile itself. RUN pip installs into a fresh virtual environment, and COPY copies
into an empty folder. Then ENTRYPOINT runs as USER in that folder, which is read-only, with no environment but ENV. The
service must answer a request to /classifier_post. Writes benchmarks/results/image.json: the size of the contents in
megabytes, and the seconds until the service was ready. Requires Linux and root, as a Docker engine does.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from benchmarks import _results
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError

RESULT: Final = str(_results.path("image"))
CURL: Final = (
    "curl -s -X POST http://127.0.0.1:{port}/classifier_post -H 'Content-Type: application/json' "
    """-d '{{"title": ["The Long Harbour"], "summary": ["A pilot guides a ship home."], "genres": [["Drama"]]}}'"""
)


def measure() -> None:
    if os.geteuid() != 0:
        raise UserError("benchmarks.image: must be run as root, to become the image's user and to mount read-only")
    instructions = parse(Path("Dockerfile").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="image-") as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        found = build(instructions, root)
        found |= try_out(instructions, root)
    _results.write("image", found)
    print(f"image: {sum(found['megabytes'].values()):.0f} MB go in, ready after {found['seconds_to_ready']:.1f} s")


def parse(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile and their arguments."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE)).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line.strip())]


def build(instructions: list[tuple[str, str]], root: Path) -> dict[str, Any]:
    """Follow the RUN and COPY instructions below ``root``; returns the sizes in megabytes."""
    environment, app = root / "opt/venv", root / "app"
    app.mkdir()
    for name, rest in instructions:
        if name == "RUN" and "pip install" in rest:
            command = rest.replace("/opt/venv", str(environment)).replace("python -m venv", f"{sys.executable} -m venv")
            subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)
        elif name == "COPY" and not rest.startswith("--from") and not rest.endswith(" ./"):
            source, target = rest.split()
            shutil.copytree(source, app / target, ignore=shutil.ignore_patterns("__pycache__"))
    parts = {"packages": environment, "model": app / "models", "code": app}
    megabytes = {
        name: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6 for name, path in parts.items()
    }
    megabytes["code"] -= megabytes["model"]
    torch = [path.name for path in environment.rglob("site-packages/*") if path.name in ("torch", "transformers")]
    if torch:
        raise UserError(f"Dockerfile: {', '.join(torch)} went in")
    return {"megabytes": megabytes}


def try_out(instructions: list[tuple[str, str]], root: Path) -> dict[str, Any]:
    """Start the entry point as the image would; returns the seconds until /readyz, and the response to `CURL`."""
    settings = dict(instructions)
    variables = dict(part.split("=", 1) for part in shlex.split(settings["ENV"]))
    variables["PATH"] = variables["PATH"].replace("/opt/venv", str(root / "opt/venv")).replace("$PATH", os.defpath)
    port = 18_080
    variables["PORT"] = str(port)
    command = json.loads(settings["ENTRYPOINT"])
    user = ["setpriv", "--reuid", settings["USER"], "--regid", settings["USER"], "--clear-groups", "--no-new-privs"]
    inside = (
        _readable_interpreter(root)
        + f"mount --bind {root} {root} && mount -o remount,bind,ro {root} && cd {root}/app && "
    )
    inside += f"exec {shlex.join(user)} env -i "
    inside += shlex.join([f"{name}={value}" for name, value in variables.items()] + command)
    started = time.perf_counter()
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", inside], stderr=subprocess.PIPE, text=True)
    try:
        while not _ready(port):
            if process.poll() is not None:
                raise UserError(f"Dockerfile: its command stopped ({process.communicate()[1][-500:]})")
            time.sleep(0.1)
        seconds = time.perf_counter() - started
        answer = json.loads(subprocess.run(CURL.format(port=port), shell=True, capture_output=True, check=True).stdout)
        check = json.loads(settings["HEALTHCHECK"].partition("CMD ")[2])
        subprocess.run([str(root / "opt/venv/bin" / check[0]), *check[1:]], check=True, env=variables)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        uid = int(status.split("Uid:")[1].split()[0])
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(40)
    return {"seconds_to_ready": seconds, "answer": answer, "uid": uid, "exit_code_after_sigterm": code}


def _readable_interpreter(root: Path) -> str:
    """Mounts that let the image's user reach this interpreter where it lives in a home closed to others."""
    prefix, kept, home = Path(sys.base_prefix), root / "interpreter", Path.home()
    kept.mkdir()
    if not prefix.is_relative_to(home):
        return ""
    return (
        f"mount --bind {prefix} {kept} && mount -t tmpfs -o mode=755 none {home} && mkdir -p {prefix} && "
        f"mount --bind {kept} {prefix} && "
    )


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    run_stage(measure, [RESULT])

"""The service as a process of its own, on a port of its own."""

import json
import os
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Any, Self

from tests.support.builders import ROOT


class Server:
    """``python -m serving`` with a model, started by ``with``; its log is in ``log``."""

    def __init__(self, model: Path, *arguments: str, **environment: str):
        self.log: list[dict[str, Any]] = []
        self._ended = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--model", str(model), "--port", "0", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: Queue[str | None] = Queue()
        # Read all the time: a service whose log nobody reads blocks when the pipe is full.
        Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        self.port = self.wait_for("serving")["address"][1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill(signal.SIGTERM)
        try:
            self.wait()
        finally:
            self._process.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def loaded(self) -> str:
        """The files that are mapped into the memory of the process: its native libraries (Linux)."""
        return Path(f"/proc/{self._process.pid}/maps").read_text()

    def holds_back(self, number: int) -> bool:
        """Whether the process ignores or handles a signal (Linux)."""
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines())
        return bool((int(status["SigIgn"], 16) | int(status["SigCgt"], 16)) >> (number - 1) & 1)

    def kill(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit code, once it has stopped."""
        while self._next():
            pass
        return self._process.wait(60)

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next log line of an event, once it is there."""
        while line := self._next():
            if line["event"] == event:
                return line
        raise AssertionError(f"the service stopped before {event!r}")

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def _next(self) -> dict[str, Any] | None:
        if self._ended:
            return None
        line = self._lines.get(timeout=60)
        if line is None:
            self._ended = True
            return None
        self.log.append(json.loads(line))
        return self.log[-1]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON (or text) and headers of an answer; ``body`` is sent as JSON unless it is bytes."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json"} | headers)
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        is_json = content and "json" in found.get("content-type", "")
        return answer.status, json.loads(content) if is_json else content, found

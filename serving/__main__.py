"""Serve a model over HTTP: the API, its documentation at /docs, and the page at /.

kill -HUP loads the model again without losing a request, from its folder or from what --rev names now; --watch does so
at each change. kill -TERM finishes the open requests and stops. With MOVIE_RATINGS_API_KEY in the environment, every
prediction requires that key in the header X-API-Key, and there is no page. With TMDB_API_KEY or TMDB_ACCESS_TOKEN, GET
/v1/tmdb answers what TMDB has of a movie, and the page has a search.
"""

import signal

if __name__ == "__main__":
    # The imports below take a second, in which SIGHUP would end the process. No model is loaded yet.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

import argparse
import asyncio
import contextlib
import logging
import os
import re
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import uvicorn
import uvloop

from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import MODEL
from movie_ratings.prediction.engines import Precision
from serving import logs, watching
from serving.api import Access, create_app
from serving.batching import CAPACITY
from serving.connections import KEEP_ALIVE, Connection, Limits, Register
from serving.loading import Hangups, load
from serving.log_options import MEGABYTES, LogOptions
from serving.service import Service

if TYPE_CHECKING:
    from serving.tmdb import LookUps

LOG: Final = logging.getLogger("serving")
CACHED: Final = 4_096  # movies, which take a few megabytes
GRACE: Final = 5  # seconds to finish the open requests
OWN_FILES: Final = 200  # files of the process that are no connections: the model, uploads, libraries
ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.*:\[\]-]+")
TMDB_KEYS: Final = ("TMDB_ACCESS_TOKEN", "TMDB_API_KEY")
LAST: Final = 8.5  # seconds after which the process ends, whatever still runs


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=MODEL, metavar="FOLDER", help="a served folder (default: %(default)s)")
    parser.add_argument("--rev", help="the model of this git revision, tag or stage (prod), from DVC's cache or remote")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=watching.SECONDS,
        metavar="SECONDS",
        help="look every so many seconds whether the model's folder or, with --rev, the commit has changed, and load "
        "the model then (default: do not look; --watch alone: %(const)g)",
    )
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="auto",
        help="auto: bf16 where OpenVINO is installed (requirements-bf16.txt), the processor has instructions for bf16 "
        "and the model predicts nearly the same; else, and with fp32, the model's own (default: %(default)s)",
    )
    parser.add_argument(
        "--cache",
        type=int,
        default=CACHED,
        metavar="MOVIES",
        help="of so many movies, those that were predicted last, the model keeps what it computed: a movie that comes "
        "again is predicted at once; 0: none (default: %(default)s)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is every interface (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("PORT") or "8000",
        help="0 means any free port (default: PORT in the environment, or 8000)",
    )
    parser.add_argument(
        "--capacity", type=int, default=CAPACITY, help="number of movies that may wait (default: %(default)s)"
    )
    parser.add_argument(
        "--keep-alive",
        type=float,
        default=KEEP_ALIVE,
        metavar="SECONDS",
        help="how long a connection may wait for its next request (default: %(default)s)",
    )
    parser.add_argument(
        "--connections", type=int, default=Limits.connections, help="at the same time (default: %(default)s)"
    )
    parser.add_argument(
        "--connections-per-client",
        type=int,
        default=Limits.connections_per_client,
        metavar="CONNECTIONS",
        help="of one address; 0 means no limit, as behind a proxy, which is the only client (default: %(default)s)",
    )
    parser.add_argument(
        "--root-path", default="", metavar="PATH", help="the path under which a proxy publishes the service: /movies"
    )
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="pages of this origin may send requests, such as https://example.com; may be repeated",
    )
    parser.add_argument(
        "--frame-ancestor",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="pages of this origin may show the page in a frame; may be repeated (default in a Space: the hub)",
    )
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FOLDER",
        help="keep a log of the predictions in this folder, as Parquet, and accept feedback (default: no log)",
    )
    parser.add_argument("--log-texts", action="store_true", help="keep the movies in the log too, with their texts")
    parser.add_argument(
        "--log-megabytes",
        type=int,
        default=MEGABYTES,
        metavar="MB",
        help="of the whole log; beyond, the oldest parts are removed (default: %(default)s)",
    )
    parser.add_argument(
        "--slates",
        type=Path,
        metavar="FOLDER",
        help="the page shows the slates of this folder, such as data/slates (default: no slates)",
    )
    parser.add_argument("--no-page", action="store_true", help="serve the API without the page")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    options = parser.parse_args(arguments)
    return exit_code(lambda: serve(options))


def serve(options: argparse.Namespace) -> None:
    """Serve until a signal stops the process.

    Raises:
        UserError: the model cannot be loaded, or the address cannot be listened on.
    """
    key = os.environ.get("MOVIE_RATINGS_API_KEY") or None
    has_page = not (options.no_page or key)
    _check(options, has_page)
    look_ups = _look_ups()
    hangups = Hangups()
    logs.set_up(options.log_level)
    classifier = load(options.model, options.rev, options.precision, options.cache)
    log = LogOptions(options.log, options.log_texts, options.log_megabytes << 20) if options.log else None
    service = Service(classifier, options.capacity, log)
    # The hub shows a Space in a frame, and sets this variable in it.
    frames = options.frame_ancestor or (["https://huggingface.co"] if "SPACE_ID" in os.environ else [])
    access = Access(key, options.root_path.rstrip("/"), options.cors_origin, frames)
    app = create_app(service, access, look_ups)
    if has_page:
        # If matplotlib is installed, Gradio loads it at the first event of the page, which holds up all requests for
        # seconds. The page draws nothing with it.
        sys.modules.setdefault("matplotlib", None)  # type: ignore[arg-type]
        from serving.page import Extras, mount  # takes seconds to import

        app = mount(app, service, Extras(look_ups, options.slates))
    limits = Limits(_with_files_for(options.connections), options.connections_per_client)
    config = uvicorn.Config(
        app,
        http=partial(Connection, Register(limits, service.metrics)),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=options.keep_alive,
        timeout_graceful_shutdown=GRACE,
    )
    with _listen(options.host, options.port) as listener:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(Server(config, service), listener, service, options, hangups))
        finally:
            stopped = service.close()
    LOG.info("stopped")
    if not stopped:
        _end_at_once()


def _look_ups() -> "LookUps | None":
    """Look-ups at TMDB, where the environment has a key."""
    if not any(os.environ.get(name) for name in TMDB_KEYS):
        return None
    from serving import tmdb  # libraries that a service without a key does not need

    return tmdb.of(os.environ)


def _check(options: argparse.Namespace, has_page: bool) -> None:
    least_of = {
        "cache": 0, "capacity": 1, "connections": 1, "connections_per_client": 0, "keep_alive": 0, "log_megabytes": 1,
    }  # fmt: skip
    for name, least in least_of.items():
        if not getattr(options, name) >= least:
            raise UserError(f"--{name.replace('_', '-')}: at least {least}, found {getattr(options, name)}")
    if options.watch is not None and not watching.SHORTEST <= options.watch <= watching.LONGEST:
        bounds = f"between {watching.SHORTEST:.0f} and {watching.LONGEST:,.0f} seconds"
        raise UserError(f"--watch: {bounds}, found {options.watch}")
    if options.log_texts and not options.log:
        raise UserError("--log-texts: needs --log FOLDER")
    if options.slates and not has_page:
        raise UserError("--slates: needs the page, which --no-page or MOVIE_RATINGS_API_KEY has turned off")
    if options.slates and not options.slates.is_dir():
        raise UserError(f"--slates {options.slates}: no such folder")
    if options.root_path and not options.root_path.startswith("/"):
        raise UserError(f"--root-path: must begin with a slash, found {options.root_path}")
    for option, origins in {"--cors-origin": options.cors_origin, "--frame-ancestor": options.frame_ancestor}.items():
        for origin in origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise UserError(f"{option}: must be an origin such as https://example.com, found {origin}")


def _with_files_for(connections: int) -> int:
    """As many ``connections`` as the process may open files for, of which some are left for its own files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < connections + OWN_FILES:
        soft = connections + OWN_FILES if hard == resource.RLIM_INFINITY else min(hard, connections + OWN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connections = min(connections, max(soft - OWN_FILES, 1))
    return connections


def _end_at_once() -> None:
    """End the process although a thread still runs, which could keep it from ending for as long as it likes."""
    LOG.error("stopped before all work had ended")
    logging.shutdown()
    os._exit(1)


class Server(uvicorn.Server):
    """Uvicorn, with /readyz failing from the moment a signal asks it to stop."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT with exit code 0; uvicorn's own method would raise the signal again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    def handle_exit(self, sig: int, frame: Any) -> None:
        """The handler of SIGTERM and SIGINT."""
        self._service.ready = False
        last = threading.Timer(LAST, _end_at_once)
        last.daemon = True
        last.start()
        super().handle_exit(sig, frame)


async def _run(
    server: Server, listener: socket.socket, service: Service, options: argparse.Namespace, hangups: Hangups
) -> None:
    wanted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, wanted.set)
    hangups.hand_over(wanted.set)
    tasks = [asyncio.create_task(_reload(service, options, wanted))]
    if options.watch is not None:
        source = watching.source(options.model, options.rev)
        look = watching.watch(source, lambda: service.classifier.version, wanted.set, options.watch)
        tasks.append(asyncio.create_task(look))
    address, classifier = listener.getsockname()[:2], service.classifier
    model = {"version": classifier.version, "precision": classifier.precision}
    LOG.info("serving", extra={"details": {"address": address} | model})
    await server.serve(sockets=[listener])
    for task in tasks:
        task.cancel()


async def _reload(service: Service, options: argparse.Namespace, wanted: asyncio.Event) -> None:
    """Load the model again each time that it is wanted, one load at a time: each takes the memory of a model."""
    while True:
        await wanted.wait()
        wanted.clear()
        await _swap(service, options)


async def _swap(service: Service, options: argparse.Namespace) -> None:
    try:
        classifier = await asyncio.to_thread(load, options.model, options.rev, options.precision, options.cache)
    except UserError as error:
        LOG.error("the old model goes on", extra={"details": {"reason": str(error)}})
        return
    service.swap(classifier)
    LOG.info("swapped", extra={"details": {"version": classifier.version}})


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"--host {host} --port {port}: cannot be listened on ({reason})") from None
    return listener


if __name__ == "__main__":
    sys.exit(main())

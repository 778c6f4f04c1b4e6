"""From a key to Friday's list, and months later to how right that was: the commands of docs/upcoming.md, one by one.

The commands run in a scratch folder, against a local server of TMDB's shapes with a tenth of its answers faulty. The
server has the test movies of data/split, which no training has seen, under invented days of release in the months after
MOVIE_RATINGS_NOW. Until their "release" the movies have no votes, afterwards their own ratings. The command of the
first list is killed five times. Writes benchmarks/results/curator.json: what each command printed, and what the server
saw. Requires the pipeline's outputs (dvc repro) and takes two to three minutes on a machine that does nothing else.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from benchmarks import _results
from benchmarks.collect import configure
from benchmarks.serving import served
from movie_ratings import params
from movie_ratings.core import parquet
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import OUTCOME
from movie_ratings.movies import splits
from movie_ratings.movies.record import MOVIE
from movie_ratings.prediction.slates import SLATE
from movie_ratings.sources.crew import JOBS
from movie_ratings.sources.tmdb.details import Details, movie
from movie_ratings.sources.tmdb.lookup import Film
from serving.tmdb import request_of
from tests.support.tmdb import KEY, Server, most_in, most_in_one_second

OUTPUT: Final = str(_results.path("curator"))
ROOT: Final = Path(__file__).parent.parent
# What the commands need of this checkout; they write nothing there.
LINKED: Final = (
    "stages", "movie_ratings", "serving", "models", "metrics", "data/clean", "data/split", "data/history"
)  # fmt: skip

FRIDAY: Final = date(2026, 11, 27)
NEXT_FRIDAY: Final = FRIDAY + timedelta(weeks=1)
LATER: Final = date(2027, 6, 4)
WEEKS: Final = 12
FILMS: Final = 500  # in the first list
KILLS: Final = 5
FAULTS: Final = 0.1  # share of the server's answers
LATENCY: Final = 0.05  # seconds
FEW: Final = 20  # every 20th film has too few votes after its release,
GONE: Final = 100  # and every 100th is gone
SENT: Final = 100  # films that the service predicts, one a request

# As they stand in a crontab, but for the folder.
PLACE: Final = "/srv/movie-ratings"
CRON: Final = (
    f"cd {PLACE} && TQDM_DISABLE=1 .venv/bin/python -m stages.slate --weeks {WEEKS} --output data/reports/slate.html"
    " >>data/slate.log 2>&1 || tail -n 1 data/slate.log"
)
LONGEST: Final = 600  # seconds of a command, on a busy machine
CRON_PATH: Final = "/usr/bin:/bin"  # all that a command of a crontab has


@dataclass
class Walk:
    """A scratch folder in which commands run as on the day ``today``, and what each has printed, by its name."""

    folder: Path
    today: date = FRIDAY
    printed: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of this process's environment but what any shell has; the key is in ``.env``."""
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/"),
            "MOVIE_RATINGS_NOW": f"{self.today}T06:30:00",
            "TQDM_DISABLE": "1",
        }

    def start(self, command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command of a shell, in a process group of its own."""
        return subprocess.Popen(
            ["sh", "-c", command], cwd=self.folder, env=self.environment | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, name: str, command: str, expected: int = 0, **environment: str) -> None:
        """Run a command, and keep its output by ``name``.

        Raises:
            UserError: its exit code is not the ``expected`` one.
        """
        process = self.start(command, **environment)
        output, _ = process.communicate(timeout=LONGEST)
        if process.returncode != expected:
            raise UserError(f"{command}: exit code {process.returncode} in place of {expected}: {output.strip()}")
        assert KEY not in output
        lines = [line.rstrip().replace(str(self.folder), PLACE) for line in output.splitlines()]
        self.printed[name] = {"command": command, "exit_code": expected, "output": lines}

    def slates(self) -> list[Path]:
        """The slates so far, the oldest first."""
        return sorted(Path(self.folder, "data/slates").glob("*.parquet"))


def main() -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        walk = Walk(Path(scratch, "movie-ratings"))
        films = upcoming(splits.read("test").to_pylist())
        prepare(walk.folder)
        port = free_port()
        before = Path(scratch, "before.json")
        before.write_text(json.dumps(films))
        with server(before, port) as tmdb:
            configure(str(walk.folder), tmdb)
            one_film(walk, films)
            first = first_list(walk, tmdb, films)
            second = second_list(walk)
        after = Path(scratch, "after.json")
        after.write_text(json.dumps(released(films)))
        walk.today = LATER
        stack.enter_context(server(after, port))
        walk.run("outcome", "python -m stages.outcome data/slates/*.parquet")
        outcome = json.loads(Path(walk.folder, OUTCOME).read_text(encoding="utf-8"))
        monitored = monitor(walk, parquet.read_table(walk.slates()[0], SLATE).to_pylist())
    found = {
        "films": len(films),
        "rate_limit": params.load().fetch.tmdb.requests_per_second,
        "faults": FAULTS,
        "first_list": first,
        "second_list": second,
        "outcome": outcome,
        "monitored": monitored,
        "commands": walk.printed,
        "cron": CRON,
        "seconds": time.monotonic() - started,
    }
    _results.write("curator", found)
    print(json.dumps({name: value for name, value in found.items() if name != "commands"}, indent=2))


def one_film(walk: Walk, films: Mapping[int, Mapping[str, Any]]) -> None:
    """Look up the best known film of the first list."""
    titles = [film["title"].casefold() for film in films.values()]
    alone = [
        film
        for film in films.values()
        if film["release_date"] <= str(FRIDAY + timedelta(weeks=WEEKS))
        and sum(film["title"].casefold() in title for title in titles) == 1
    ]
    film = max(alone, key=lambda one: one["own"]["popularity"])
    year = film["release_date"][:4]
    walk.run("wrong key", f'python -m stages.predict --find "{film["title"]}"', 2, TMDB_API_KEY="a-wrong-key")
    walk.run("find", f'python -m stages.predict --find "{film["title"]}" --year {year}')
    walk.run("explain", f"python -m stages.predict --tmdb {film['id']} --explain --comparables")


def first_list(walk: Walk, tmdb: Server, films: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The list of twelve weeks, killed five times: whether it is whole, and the requests that it took."""
    end = FRIDAY + timedelta(weeks=WEEKS)
    command = f"python -m stages.slate --from {FRIDAY} --to {end} --output friday.html"
    kill(walk, tmdb, command)
    walk.run("slate", command)
    statistics = tmdb.statistics()
    (path,) = walk.slates()
    slate = parquet.read_table(path, SLATE)
    expected = [number for number, film in films.items() if film["release_date"] <= str(end)]
    records = [movie(Details.model_validate(films[number]), cast_size=10) for number in sorted(expected)]
    moments = sorted(statistics["moments"])
    return {
        "kills": KILLS,
        "films": slate.num_rows,
        "equal_to_the_servers": slate.select(MOVIE.names).equals(pa.Table.from_pylist(records, MOVIE)),
        "films_more_than_once": slate.num_rows - len(set(slate["id"].to_pylist())),
        "requests": len(statistics["moments"]),
        "answers_lost_to_kills": sum(n - 1 for number, n in statistics["served"].items() if int(number) in expected),
        "most_in_one_second": most_in_one_second(moments),
        "most_in_ten_seconds": most_in(10.0, moments),
    }


def kill(walk: Walk, tmdb: Server, command: str) -> None:
    """Start the command, and kill it once some films are there; five times."""
    moments = random.Random(0)
    for _ in range(KILLS):
        before = sum(tmdb.statistics()["served"].values())
        process = walk.start(command)
        while sum(tmdb.statistics()["served"].values()) < before + moments.randint(40, 80):
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert not walk.slates()


def second_list(walk: Walk) -> dict[str, Any]:
    """The list of the next Friday, by the line of the crontab, while a second run is refused."""
    first, walk.today = walk.slates()[0].read_bytes(), NEXT_FRIDAY
    line = CRON.replace(PLACE, str(walk.folder))
    process = walk.start(line, PATH=CRON_PATH)
    while not Path(walk.folder, "data/store/slates").exists():
        time.sleep(0.05)
        assert process.poll() is None
    walk.run("overlap", f"python -m stages.slate --weeks {WEEKS}", 2)
    mailed, _ = process.communicate(timeout=LONGEST)
    walk.run("log", "tail -n 3 data/slate.log")
    walk.run("slates", "ls data/slates")
    Path(walk.folder, ".env").rename(walk.folder / "no.env")
    walk.run("failure", line, PATH=CRON_PATH)
    walk.printed["failure"]["command"] = CRON
    Path(walk.folder, "no.env").rename(walk.folder / ".env")
    return {
        "films": parquet.read_table(walk.slates()[1], SLATE).num_rows,
        "files": len(walk.slates()),
        "exit_code": process.returncode,
        "mailed": mailed,
        "first_file_is_as_it_was": walk.slates()[0].read_bytes() == first,
    }


def monitor(walk: Walk, films: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Films of a list, predicted by the service, with their ratings as feedback, and the monitor over the log."""
    log = Path(walk.folder, "data/served")
    ratings = {film["id"]: film["vote_average"] for film in splits.read("test").to_pylist()}
    with served("--log", str(log), "--log-texts") as (url, _):
        for film in films[:SENT]:
            (prediction,) = post(f"{url}/v1/predict", {"movies": [request_of(Film(film))]})["predictions"]
            post(f"{url}/v1/feedback", {"id": prediction["id"], "rating": ratings[film["id"]]})
    walk.run("monitor", "python -m stages.monitor --log data/served", 3)
    return {"films": SENT}


def post(url: str, body: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def upcoming(records: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """TMDB's details of the films, as they would be before the release; ``own`` keeps their popularity and ratings.

    The days of release follow one another evenly, so that the first `FILMS` films are those of the first list.
    """
    order = sorted(records, key=lambda record: record["id"])
    random.Random(0).shuffle(order)
    days = 7 * WEEKS + 1
    films = {}
    for place, record in enumerate(order):
        day = FRIDAY + timedelta(days=place * days // FILMS)
        own = {name: record[name] for name in ("vote_average", "vote_count", "popularity")}
        films[record["id"]] = (
            described(record)
            | {"release_date": str(day), "vote_average": 0.0, "vote_count": 0, "popularity": 1.0}
            | {"own": own}
        )
    return films


def released(films: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """The films once they are out: most with the votes that they have, some with too few, some gone."""
    found: dict[int, dict[str, Any]] = {}
    for place, (number, film) in enumerate(films.items()):
        if place % GONE == GONE - 1:
            continue
        votes = {"vote_count": 3} if place % FEW == FEW - 1 else {}
        found[number] = {**film, **film["own"], **votes}
    return found


def described(record: Mapping[str, Any]) -> dict[str, Any]:
    """A movie record in the shape of TMDB's details: what `movie_ratings.sources.tmdb.details` reads."""

    def named(field: str) -> list[dict[str, Any]]:
        return [{"name": name} for name in record[field] or ()]

    crew = [
        {"name": name, "job": sorted(groups[0])[0]} for field, groups in JOBS.items() for name in record[field] or ()
    ]
    return {
        "id": record["id"],
        "title": record["title"],
        "original_title": record["original_title"],
        "original_language": record["original_language"],
        "overview": record["summary"],
        "genres": named("genres"),
        "spoken_languages": named("spoken_languages"),
        "production_companies": named("companies"),
        "production_countries": named("countries"),
        "belongs_to_collection": {"name": record["collection"]} if record["collection"] else None,
        "keywords": {"keywords": named("keywords")},
        "runtime": record["runtime"] or 0,
        "budget": record["budget"] or 0,
        "adult": False,
        "credits": {"cast": [one | {"order": n} for n, one in enumerate(named("cast"))], "crew": crew},
    }


def server(films: Path, port: int) -> Server:
    return Server(films=str(films), port=port, latency=LATENCY, faults=FAULTS)


def prepare(folder: Path) -> None:
    """A folder with the project's code and models, params.yaml and a key."""
    for name in LINKED:
        Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
        Path(folder, name).symlink_to(ROOT / name)
    Path(folder, ".venv").symlink_to(sys.prefix)
    shutil.copy(ROOT / "params.yaml", folder)
    Path(folder, ".env").write_text(f"TMDB_API_KEY={KEY}\n")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


if __name__ == "__main__":
    run_stage(main, [OUTPUT])

"""The tables of the README and of docs/: Markdown out of the committed results."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks._processor import in_words
from benchmarks.serving import headline
from movie_ratings.reports.titles import TITLES
from serving.bodies import MAX_KEYS, MAX_VALUES
from serving.connections import KEEP_ALIVE, Limits
from serving.middleware import MAX_FORM
from serving.schemas import MAX_BODY

KINDS: Final = ("balanced_accuracy", "macro_f1")
COLUMNS: Final = ("balanced accuracy", "macro-F1")
# The two views: what a movie's request may hold, and the head of its columns.
VIEWS: Final = {"facts": "", "plot": "title, genres and summary only: "}
# The baselines of the README's own table; docs/results.md has them all.
HEADLINE: Final = ("catboost", "embeddings_boosting", "tfidf_ridge", "majority")
# What ranks the experiments of a sweep, all on the validation split: the score that chooses the epoch, then losses.
SCORE: Final = "selection_score"
MEASURED: Final = {
    SCORE: "expected balanced accuracy",
    "validation.transformer.log_loss": "log-loss, transformer alone",
    "validation.log_loss": "log-loss, both parts",
    "validation.plot.log_loss": "log-loss, both parts, title, genres and summary only",
}
# What the model was meant to reach on the sample source, in the order of KINDS.
AIMS: Final = {"facts": (0.635, 0.56), "plot": (0.54, 0.46)}


def study_table(study: Mapping[str, Any]) -> str:
    """The model and the baselines, out of fold, with all facts and without."""
    views = {view: {"model": study["model"][view]["model"]} | study["baselines"][view] for view in VIEWS}
    rows = [
        [TITLES[name], *(_with_interval(views[view][name], kind) for view in VIEWS for kind in KINDS)]
        for name in views["facts"]
    ]
    return markdown([f"{study['source']} source, {study['rows']:,} movies", *_both_views()], rows)


def headline_table(study: Mapping[str, Any]) -> str:
    """The model beside a few baselines, in the columns of the README: all facts, newer films, and the plot alone."""
    head = ["", *COLUMNS, "log-loss", "balanced accuracy on newer films", "balanced accuracy from the plot alone"]
    rows = {"model": study["model"]["facts"]["model"]} | {name: study["baselines"]["facts"][name] for name in HEADLINE}
    plots = {"model": study["model"]["plot"]["model"]} | study["baselines"]["plot"]
    cells = [
        [
            TITLES[name],
            *(f"{row[kind]:.3f}" for kind in (*KINDS, "log_loss")),
            f"{study['time'][name]['balanced_accuracy']:.3f}" if name in study["time"] else "",
            f"{plots[name]['balanced_accuracy']:.3f}",
        ]
        for name, row in rows.items()
    ]
    return markdown(head, cells)


def time_table(study: Mapping[str, Any]) -> str:
    """The model on the films of the years after its training movies, beside the same films at random and baselines."""
    time = study["time"]
    rows: dict[str, Any] = {}
    for period in time["periods"]:
        years = f"{period['years'][0]} to {period['years'][1]}"
        rows[f"{years} ({period['rows']:,} films), trained on films to {period['until']}"] = period["model"]
        rows[f"{years}, trained on films of all years"] = period["trained_at_random"]
    rows[f"**all three periods ({time['rows']:,} films)**"] = time["model"]
    rows["the same, trained on films of all years"] = time["trained_at_random"]
    for name in (name for name in TITLES if name in time and name != "model"):
        rows[f"the same, {TITLES[name]}"] = time[name]
    return scores_table("the model", rows)


def audit_table(audit: Mapping[str, Any]) -> str:
    """What each fact is worth, and what is left of it without its contents; differences of R²."""
    head = ["fact", "worth", "number of names alone", "shuffled", "flagged", "number of names in the record"]

    def cell(line: Mapping[str, Any] | None, gain: str = "gain") -> str:
        return "" if line is None else difference(line, gain)

    rows = [
        [
            name.replace("_", " "),
            cell(fact, "worth"),
            cell(fact["count"]),
            cell(fact["shuffled"]),
            "yes" if fact["flagged"] else "no",
            cell(fact.get("number_in_record")),
        ]
        for name, fact in audit["facts"].items()
    ]
    return markdown(head, rows)


def gain_table(study: Mapping[str, Any]) -> str:
    """What the model gains over each baseline, paired by movie; of the log-loss, less is better."""
    found = {view: {n: row["model_minus"] for n, row in study["baselines"][view].items()} for view in VIEWS}
    names = [name for name in found["facts"] if name not in ("majority", "genre_year")]
    rows = [
        [TITLES[n], *(_with_interval(found[view][n], kind, "+") for view in VIEWS for kind in KINDS)] for n in names
    ]
    head = ["the model minus", *_both_views()]
    if all("log_loss" in found["facts"][name] for name in names):
        head.insert(1 + len(KINDS), "log-loss")
        for name, row in zip(names, rows, strict=True):
            row.insert(1 + len(KINDS), difference(found["facts"][name]["log_loss"]))
    return markdown(head, rows)


def difference(row: Mapping[str, Any], name: str = "difference") -> str:
    """A paired difference with its interval."""
    low, high = row["interval_95"]
    return f"{row[name]:+.3f} ({low:+.3f} to {high:+.3f})"


def parts_table(study: Mapping[str, Any]) -> str:
    """The model and its parts alone."""
    head = ["", *COLUMNS, "log-loss", "title, genres and summary only: log-loss"]
    rows = [
        [
            TITLES[name],
            *(_with_interval(row, kind) for kind in KINDS),
            f"{row['log_loss']:.3f}",
            f"{study['model']['plot'][name]['log_loss']:.3f}",
        ]
        for name, row in study["model"]["facts"].items()
    ]
    return markdown(head, rows)


def scores_table(head: str, rows: Mapping[str, Any]) -> str:
    """Balanced accuracy, macro-F1 and log-loss of anything, a line each; ``head`` names what a line is."""
    return markdown(
        [head, *COLUMNS, "log-loss"],
        [
            [name, *(_with_interval(row, kind) for kind in KINDS), f"{row['log_loss']:.3f}"]
            for name, row in rows.items()
        ],
    )


def sizes_table(study: Mapping[str, Any]) -> str:
    """The learning curve, and where a line through it would reach the aims."""
    sizes = [study["sizes"][share] for share in sorted(study["sizes"], key=float)]
    # Older results have the figures for all movies here, of the model that the shares are of.
    if "facts" not in sizes[-1]:
        sizes[-1] = sizes[-1] | {view: study["model"][view]["model"] for view in VIEWS}
    rows = [
        [f"{size['training_rows']:,}", *(_with_interval(size[view], kind) for view in VIEWS for kind in KINDS)]
        for size in sizes
    ]
    needed = [
        _needed(sizes, view, kind, aim) for view, aims in AIMS.items() for kind, aim in zip(KINDS, aims, strict=True)
    ]
    return markdown(["training movies", *_both_views()], [*rows, ["extrapolated", *needed]])


def linear_sizes_table(study: Mapping[str, Any]) -> str:
    """The learning curve of the linear part alone, and where a line through it would reach the aims."""
    sizes = sorted(study["linear_sizes"].values(), key=lambda size: size["training_rows"])
    rows = [
        [
            f"{size['training_rows']:,}",
            *(_with_interval(size["facts"], kind) for kind in KINDS),
            f"{size['facts']['log_loss']:.3f}",
        ]
        for size in sizes
    ]
    needed = [_needed(sizes, "facts", kind, aim) for kind, aim in zip(KINDS, AIMS["facts"], strict=True)]
    return markdown(["training movies", *COLUMNS, "log-loss"], [*rows, ["extrapolated", *needed, ""]])


def _needed(sizes: Sequence[Mapping[str, Any]], view: str, kind: str, aim: float) -> str:
    """How many training movies would reach ``aim`` if the figure went on growing as it does with each doubling."""
    found = [size[view][kind] for size in sizes]
    if found[-1] >= aim:
        return f"{aim:g} is reached"
    doublings = [math.log2(size["training_rows"]) for size in sizes]
    slope = np.polyfit(doublings, found, 1)[0]
    if slope <= 0:
        return f"{aim:g}: no growth to extrapolate"
    rows = sizes[-1]["training_rows"] * 2 ** ((aim - found[-1]) / slope)
    return f"{slope:+.3f} for each doubling: {aim:g} at {float(f'{rows:.1g}'):,.0f}"


def speed_table(results: Mapping[str, Any]) -> str:
    """What to expect of this model on each processor that was measured, and of DeBERTaV3-base on the last one."""
    serving, deberta = results["serving"], results["deberta"]["cpu"]
    runs = [headline(serving), *serving["elsewhere"]]
    ways, ratio = deberta["ways"], deberta["ratio"]
    cells: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("movies a second, in batches", lambda run: f"{run['movies_per_second']:.0f} ({run['precision']})"),
        ("the same, against the original's recipe", lambda run: f"{run['times_the_original']:.1f} times"),
        ("the same, against `transformers.pipeline`", lambda run: f"{run['times_the_pipeline']:.1f} times"),
        (
            "HTTP, 64 clients: movies a second; 99% of the responses within",
            lambda run: f"{run['http_per_second']:.0f}; {run['http_p99_seconds']:.2f} s",
        ),
        ("one movie from the command line", lambda run: f"{run['command_line_seconds']:.1f} s"),
    ]
    rows = [[name, *(cell(run) for run in runs)] for name, cell in cells]
    blank = [""] * (len(runs) - 1)
    for way, other in {"serving": "transformers", "training": "the original's recipe"}.items():
        ours = ways[f"{way}, ours"]
        rate = f"{ours['movies_per_second']:.1f} ({ratio[way]:.1f} times {other}); {ours['megabytes'] / 1000:.1f} GB"
        name = f"[DeBERTaV3-base](docs/training.md#debertav3), {way}: movies a second; memory"
        rows.append([name, rate, *blank])
    return markdown(["two cores", *(in_words(run["processor"]) for run in runs)], rows)


def processors_table(results: Mapping[str, Any], names: Sequence[str]) -> str:
    """The processor of each file of results, in words."""
    rows = [[f"`{name}.json`", in_words(results[name].get("processor"))] for name in sorted(names)]
    return markdown(["results", "measured on"], rows)


def scale_table(found: Mapping[str, Any]) -> str:
    """Seconds, memory and disk of each stage at each size, and extrapolated linearly to ten times the largest."""
    sizes = sorted(map(int, found["stages"]))
    small, large = (found["stages"][str(size)] for size in sizes[-2:])
    further = 10 * sizes[-1]

    def extrapolated(stage: str) -> dict[str, float]:
        steps = (further - sizes[-1]) / (sizes[-1] - sizes[-2])
        return {kind: high + steps * (high - small[stage][kind]) for kind, high in large[stage].items()}

    columns = [found["stages"][str(size)] for size in sizes] + [{stage: extrapolated(stage) for stage in large}]
    cells = [[stage, *(_cost(column[stage]) for column in columns)] for stage in large]
    return markdown(["", *(f"{size:,} movies" for size in sizes), f"{further:,}, extrapolated"], cells)


def prediction_table(measured: Mapping[str, Any], bulk: Mapping[str, Any]) -> str:
    """Batch prediction: measured with the tiny model, extrapolated for the default one and for many machines."""
    minutes = bulk["million_minutes"]["mean"] / 1e6
    default = "default model on two cores, extrapolated"
    head = ["movies", "tiny model, measured", default, "default model on 20 such machines with Ray, extrapolated"]
    rows = []
    for movies in (*sorted(map(int, measured)), 10 * max(map(int, measured))):
        found = measured.get(str(movies))
        cost = f"{found['seconds']:,.0f} s, {found['megabytes']:,.0f} MB" if found else "not measured"
        rows.append([f"{movies:,}", cost, f"{movies * minutes:,.0f} min", f"{movies * minutes / 20:,.0f} min"])
    return markdown(head, rows)


def stages_table(pipeline: Mapping[str, Any]) -> str:
    """Seconds of each stage of the pipeline with its default parameters."""
    stages = {name: seconds for name, seconds in pipeline["stages"].items() if name != "dvc"}
    return markdown(list(stages), [[f"{seconds:.0f} s" for seconds in stages.values()]])


def steps_table(bulk: Mapping[str, Any]) -> str:
    """Where the time of a movie goes in a table of movies."""
    took = bulk["milliseconds"]
    whole = sum(took.values())
    rows = [[name, f"{milliseconds:.2f} ms", f"{milliseconds / whole:.1%}"] for name, milliseconds in took.items()]
    return markdown(["step", "a movie", "share"], rows)


def sweep_table(rows: Sequence[Mapping[str, str]]) -> str:
    """The experiments of a sweep, the best score on validation first."""
    # The workspace's line has no name; it repeats the experiment that is committed.
    ranked = sorted((row for row in rows if row["Experiment"]), key=lambda row: -float(row[SCORE]))
    names = [name for name in ranked[0] if name.startswith(("train.", "text."))]
    cells = [[*(row[name] for name in names), *(f"{float(row[name]):.3f}" for name in MEASURED)] for row in ranked]
    return markdown([*(f"`{name}`" for name in names), *MEASURED.values()], cells)


def _cost(figures: Mapping[str, float]) -> str:
    seconds, memory, disk = (figures[kind] for kind in ("seconds", "megabytes", "disk_megabytes"))
    return f"{seconds:,.0f} s, {memory / 1e3:.1f} GB, {max(disk, 0.0):,.1f} MB"


def limits_table(found: Mapping[str, Any]) -> str:
    """Each limit of the service, as the code has it and as measured from outside."""
    limits, measured = Limits(), found["limits"]
    promised = {
        "body of a prediction, unpacked": (MAX_BODY, "body_bytes", "bytes", "413"),
        "body of any other request but an upload": (MAX_FORM, "form_bytes", "bytes", "413"),
        "keys in a body": (MAX_KEYS, "keys", "", "413"),
        "values in a body": (MAX_VALUES, "values", "", "413"),
        "head of a request": (limits.head_bytes, "head_bytes", "bytes", "431"),
        "lines of a head": (limits.head_lines, "head_lines", "", "431"),
        "time for a head": (limits.head_seconds, "head_seconds", "s", "408"),
        "time for a body": (limits.body_seconds, "body_seconds", "s", "408"),
        "time before the first byte": (limits.head_seconds, "silent_seconds", "s", "connection closed"),
        "time between two requests, `--keep-alive`": (KEEP_ALIVE, "keep_alive_seconds", "s", "connection closed"),
        "connections, `--connections`": (limits.connections, "connections", "", "longest wait closed"),
        "connections of a client, `--connections-per-client`": (
            limits.connections_per_client,
            "connections_per_client",
            "",
            "longest wait closed",
        ),
    }
    rows = [
        [what, f"{limit:,.0f} {unit}".strip(), f"{measured[name]:,.{int(unit == 's')}f} {unit}".strip(), beyond]
        for what, (limit, name, unit, beyond) in promised.items()
    ]
    return markdown(["limit", "promised", "measured", "beyond it"], rows)


def abuse_table(found: Mapping[str, Any]) -> str:
    """The service under all attacks at once, against the aims."""
    attack = found["attack"]
    aims = attack["aims"]
    rows = [
        ["peak memory", f"{aims['megabytes']} MB", f"{attack['peak_megabytes']:.0f} MB"],
        [
            "longest wait of an honest client for a prediction",
            f"{aims['latency_seconds']:.0f} s",
            f"{attack['honest']['worst_seconds']:.1f} s",
        ],
        ["time from SIGTERM to the end", f"{aims['stop_seconds']:.0f} s", f"{attack['stop_seconds']:.1f} s"],
    ]
    return markdown(["under all attacks at once", "promised", "measured"], rows)


def split_table(evaluated: Mapping[str, Any], baselines: Mapping[str, Any]) -> str:
    """The one split that `dvc repro` scores."""
    head = [f"{evaluated['rows']} test movies", *COLUMNS, "accuracy", "log-loss"]
    named = {"the model": evaluated, "the model, title, genres and summary only": evaluated["plot"]}
    named |= {TITLES[name]: row for name, row in baselines.items()}
    rows = [
        [
            name,
            *(_with_interval(row, kind) if "interval_95" in row else f"{row[kind]:.3f}" for kind in KINDS),
            f"{row['accuracy']:.3f}",
            f"{row['log_loss']:.3f}",
        ]
        for name, row in named.items()
    ]
    return markdown(head, rows)


def _with_interval(row: Mapping[str, Any], kind: str, sign: str = "") -> str:
    value = row.get("difference", row)[kind]
    low, high = row["interval_95"][kind]
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _both_views() -> list[str]:
    return [start + column for start in VIEWS.values() for column in COLUMNS]

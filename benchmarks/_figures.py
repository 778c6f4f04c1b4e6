"""Every figure that stands in the prose of a page, by the name that its marker has."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import _walk
from benchmarks._processor import in_words


def figures(results: Mapping[str, Any]) -> dict[str, str]:
    """The text of each figure; ``results`` are those of `benchmarks.pages.read`."""
    parts = {
        "data": _data(results["fetch"], results["clean"], results["split"]),
        "train": {"selection": f"{results['train']['selection_score']:.3f}"},
        "export": _export(results["export"]),
        "study": _study(results["study-sample"]),
        "audit": _audit(results["audit"]),
        "sweep": _sweep(results["sweep"]),
        "throughput": _throughput(results["throughput"]),
        "pipeline": _pipeline(results["pipeline"]),
        "collect": _collect(results["collect"]),
        "files": _files(results["files"]),
        "imdb": _imdb(results["imdb"]),
        "scale": _scale(results["scale"]),
        "serving": _serving(results["serving"]),
        "bulk": _bulk(results["bulk"]),
        "explain": _explain(results["explain"]),
        "abuse": {
            "start": f"{results['abuse']['megabytes_at_start']:.0f}",
            "seconds": f"{results['abuse']['attack']['seconds']:.0f}",
        },
        "log": _log(results["log"]),
        "monitoring": _monitoring(results["monitoring"]),
        "walk": _walk.figures(results["curator"]),
        "image": {name: f"{results['image']['megabytes'][name]:.0f}" for name in ("packages", "model")},
    }
    for part in ("serving", "pipeline", "throughput", "bulk"):
        parts[part]["processor"] = in_words(results[part].get("processor"))
    return {f"{part}.{name}": text for part, found in parts.items() for name, text in found.items()}


def _data(fetched: Mapping[str, Any], cleaned: Mapping[str, Any], split: Mapping[str, Any]) -> dict[str, str]:
    return {
        "fetched": f"{fetched['rows']:,}",
        "cleaned": f"{cleaned['rows_out']:,}",
        **{name: f"{rows:,}" for name, rows in split["rows"].items()},
        "low": f"{split['thresholds']['low']:.2f}",
        "high": f"{split['thresholds']['high']:.2f}",
        "average-share": f"{split['class_shares']['train']['average']:.0%}",
    }


def _export(found: Mapping[str, Any]) -> dict[str, str]:
    return {
        "int8-agreement": f"{found['int8']['label_agreement']:.1%}",
        "bf16-agreement": f"{found['bf16']['label_agreement']:.1%}",
        "bf16-difference": f"{found['bf16']['largest_probability_difference']:.4f}",
        "variant": found["variant"],
    }


def _study(study: Mapping[str, Any]) -> dict[str, str]:
    model, ceiling = study["model"]["facts"], study["noise_ceiling"]
    losses = [row["log_loss"] for seed, row in study["seeds"].items() if seed != "folds"]
    return {
        "rows": f"{study['rows']:,}",
        "error": f"{model['model']['mean_absolute_error']:.2f}",
        "mean-error": f"{study['baselines']['facts']['majority']['mean_absolute_error']:.2f}",
        "covered": f"{model['model']['interval_coverage']:.0%}",
        "recall": f"{model['model']['balanced_accuracy']:.0%}",
        "balanced-accuracy": f"{model['model']['balanced_accuracy']:.3f}",
        "macro-f1": f"{model['model']['macro_f1']:.3f}",
        "log-loss": f"{model['model']['log_loss']:.3f}",
        "transformer-log-loss": f"{model['transformer']['log_loss']:.3f}",
        "ceiling-balanced-accuracy": f"{ceiling['balanced_accuracy']:.2f}",
        "calibration-error": f"{model['model']['expected_calibration_error']:.3f}",
        "newest": f"{study['time']['rows']:,}",
        "first-year": str(study["time"]["periods"][0]["years"][0]),
        "last-year": str(study["time"]["periods"][-1]["years"][1]),
        "time-balanced-accuracy": f"{study['time']['model']['balanced_accuracy']:.3f}",
        "time-macro-f1": f"{study['time']['model']['macro_f1']:.3f}",
        "time-log-loss": f"{study['time']['model']['log_loss']:.3f}",
        "time-calibration-error": f"{study['time']['model']['expected_calibration_error']:.3f}",
        "time-coverage": f"{study['time']['model']['interval_coverage']:.0%}",
        "time-error": f"{study['time']['model']['mean_absolute_error']:.2f}",
        "plot-balanced-accuracy": f"{study['model']['plot']['model']['balanced_accuracy']:.3f}",
        "plot-macro-f1": f"{study['model']['plot']['model']['macro_f1']:.3f}",
        "plot-calibration-error": f"{study['model']['plot']['model']['expected_calibration_error']:.3f}",
        "seeds-mean": f"{statistics.fmean(losses):.3f}",
        "seeds-low": f"{min(losses):.3f}",
        "seeds-high": f"{max(losses):.3f}",
    }


def _audit(audit: Mapping[str, Any]) -> dict[str, str]:
    facts = audit["facts"]
    return {
        "movies": f"{audit['movies']:,}",
        "r2": f"{audit['whole']['r2']:.3f}",
        "flagged": ", ".join(audit["flagged"]) or "none",
        **{name.replace(" ", "-"): f"{facts[name]['worth']:+.3f}" for name in ("all names", "track records", "genres")},
    }


def _sweep(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The score of each number of frozen layers with the default learning rate and dropout, seeds 0 and 1."""

    def of(layers: str, seed: str) -> str:
        wanted = {"train.freeze_layers": layers, "train.seed": seed, "train.learning_rate": "0.0002"}
        wanted["text.field_dropout"] = "0.3"
        found = {row["selection_score"] for row in rows if wanted.items() <= row.items()}
        return f"{float(found.pop()):.3f}"

    return {f"frozen-{layers}": f"{of(layers, '0')}, {of(layers, '1')}" for layers in ("0", "3", "4")}


def _throughput(found: Mapping[str, Any]) -> dict[str, str]:
    frozen = {f"frozen-{n}": f"{found['frozen'][n]['ratio']['median']:.1f}" for n in ("3", "4")}
    shares = {"original": f"{found['ratio']['median']:.1f}", "first-token": f"{found['first_token']['median']:.2f}"}
    return frozen | shares


def _pipeline(found: Mapping[str, Any]) -> dict[str, str]:
    return {
        "seconds": f"{found['repro_from_nothing_seconds']:.0f}",
        "unchanged": f"{found['unchanged_repro_over_dvc_version']['median']:.1f}",
    }


def _collect(found: Mapping[str, Any]) -> dict[str, str]:
    slow, fast = found["ceiling_40_latency_100_ms"], found["ceiling_1000_latency_20_ms"]
    return {
        "sustained": f"{slow['sustained']:.1f}",
        "most": str(slow["most_in_one_second"]),
        "original": f"{slow['ratio']:.1f}",
        "fast": f"{fast['sustained']:,.0f}",
        "kills": str(found["faults_20_percent_and_kills"]["kills"]),
    }


def _files(found: Mapping[str, Any]) -> dict[str, str]:
    both = found["read_and_write"]
    return {
        "read": f"{found['read']['speed_over_pandas']['median']:.2f}",
        "both": f"{both['speed_over_pandas']['median']:.2f}",
        "megabytes": f"{both['peak_megabytes']:.0f}",
    }


def _imdb(found: Mapping[str, Any]) -> dict[str, str]:
    ours, query = found["ours"], found["query"]
    return {
        "titles": f"{found['rows']['title.basics']:,}",
        "principals": f"{found['rows']['title.principals']:,}",
        "megabytes": f"{ours['peak_megabytes']:,.0f}",
        "query-megabytes": f"{query['peak_megabytes']:,.0f}",
        "query-share": f"{query['seconds'] / ours['seconds']:.0%}",
    }


def _scale(found: Mapping[str, Any]) -> dict[str, str]:
    script, killed = found["script"], found["killed"]
    few, many = (found["prediction"][rows]["megabytes"] for rows in ("100000", "1000000"))
    return {
        "script-times": f"{script['times_as_long']['median']:.1f}",
        "script-memory": f"{script['megabytes']['script'] / script['megabytes']['ours']:.1f}",
        "killed-rows": f"{killed['rows']:,}",
        "killed-outputs": str(killed["outputs"]),
        "tokenising": f"{found['tokenising']['share_of_the_library_alone']['median']:.0%}",
        "prediction-growth": f"{many / few - 1:.0%}",
    }


def _log(found: Mapping[str, Any]) -> dict[str, str]:
    return {
        "throughput": f"{found['share_of_throughput']['median']:.0%}",
        "processor": f"{found['share_of_milliseconds']['median'] - 1:.1%}",
        **_memory(found["memory"]),
    }


def _memory(found: Mapping[str, Any]) -> dict[str, str]:
    """What `benchmarks.serving.soak` has measured."""
    megabytes = found["resident_megabytes"]
    return {
        "memory-minutes": f"{found['seconds'] / 60:.0f}",
        "memory-start": f"{megabytes[0]:.0f}",
        "memory-end": f"{megabytes[-1]:.0f}",
    }


def _monitoring(found: Mapping[str, Any]) -> dict[str, str]:
    monitor = found["monitor"]
    return {
        "refused": str(found["gate"]["refused"]),
        "draws": str(monitor["draws"]),
        "with-alarm": str(monitor["with_alarm"]),
        "newest": ", ".join(monitor["moved"]["newest films"]["alarms"]),
        "foreign": f"{len(monitor['moved']['films without English']['alarms'])} distributions",
    }


def _serving(found: Mapping[str, Any]) -> dict[str, str]:
    batch, line, http, over = (found[name] for name in ("batch", "command_line", "http", "overload"))
    return {
        "movies": f"{found['movies']:,}",
        "batch": f"{batch['movies_per_second']['ours']['median']:.0f}",
        "original": f"{batch['times_the_original']['median']:.1f}",
        "pipeline": f"{batch['times_the_pipeline']['median']:.1f}",
        "one": f"{line['seconds']['median']:.1f}",
        "one-megabytes": f"{line['peak_megabytes']:.0f}",
        "importing-transformers": f"{line['importing_transformers_seconds']['median']:.1f}",
        "http": f"{http['answered_a_second']:.0f}",
        "clients": str(http["clients"]),
        "http-share": f"{http['share_of_batch_throughput']:.0%}",
        "http-p99": f"{http['answered']['p99_seconds']:.2f}",
        "overload": str(over["requests_over_capacity"]),
        "overload-p99": f"{over['answered']['p99_seconds']:.2f}",
        "refused": f"{1000 * over['refused']['p50_seconds']:.1f}",
        "after": f"{1000 * over['one_client_right_after']['p50_seconds']:.0f}",
        **_memory(found["memory"]),
    }


def _bulk(found: Mapping[str, Any]) -> dict[str, str]:
    minutes, (few, many) = found["million_minutes"], sorted(map(int, found["megabytes"]))
    return {
        "tables": str(found["tables"]),
        "few": f"{few:,}",
        "many": f"{many:,}",
        "precision": found["precision"],
        "minutes": f"{minutes['mean']:.0f}",
        "interval": f"{minutes['low']:.0f} to {minutes['high']:.0f}",
        "few-megabytes": f"{found['megabytes'][str(few)]:.0f}",
        "many-megabytes": f"{found['megabytes'][str(many)]:.0f}",
        "transformer": f"{found['milliseconds']['transformer'] / sum(found['milliseconds'].values()):.0%}",
    }


def _explain(found: Mapping[str, Any]) -> dict[str, str]:
    clients = found["clients"]
    return {
        "clients": str(clients["clients"]),
        "p50": f"{clients['answered']['p50_seconds']:.2f}",
        "p99": f"{clients['answered']['p99_seconds']:.2f}",
        "refused": str(clients["statuses"].get("503", 0)),
        "predictions-p99": f"{found['predictions_meanwhile']['answered']['p99_seconds']:.2f}",
        "batch": f"{found['movies_a_second_in_batches']:.0f}",
        "p99-movies": f"{clients['p99_in_movies_of_a_batch']:.0f}",
        "load": f"{found['load_average_before']:.0f}",
    }

"""What the monitor found, as a dictionary, as an HTML page, and as Prometheus' text format."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from movie_ratings.core.rounding import rounded
from movie_ratings.monitoring.drift import ALARM, MOVED, Drift
from movie_ratings.monitoring.truth import Truth
from movie_ratings.reports import templates

KINDS: Final[Mapping[str, str]] = {
    "content": "Content",
    "unknown": "Movies without the field",
    "unseen names": "Names that no training movie has",
    "answers": "Mix of answers",
}


@dataclass(frozen=True)
class Report:
    """The drifts and the truth about ``movies`` movies from ``source``; ``notes`` say what could not be compared."""

    source: str
    time: str
    movies: int
    versions: Mapping[str, int]
    drifts: Sequence[Drift]
    truth: Truth | None
    notes: Sequence[str]

    @property
    def alarms(self) -> list[str]:
        """A short name of each alarm that stands."""
        found = [f"{drift.kind} of {drift.name}" for drift in self.drifts if drift.level == "alarm"]
        return found + (self.truth.alarms if self.truth else [])


def as_dict(report: Report) -> dict[str, Any]:
    """The content of monitor.json."""
    drifts = [
        {"kind": drift.kind, "name": drift.name, "level": drift.level, "index": drift.index}
        | {"by_chance": drift.by_chance, "rows_before": drift.rows[0], "rows_now": drift.rows[1]}
        | {"bins": [{"bin": name, "before": before, "now": now} for name, before, now in drift.bins]}
        for drift in report.drifts
    ]
    found = {
        "source": report.source,
        "time": report.time,
        "movies": report.movies,
        "model_versions": dict(report.versions),
        "alarms": report.alarms,
        "notes": list(report.notes),
        "drifts": drifts,
        "truth": asdict(report.truth) if report.truth else None,
    }
    return dict(rounded(found))


def page(report: Report) -> str:
    """The HTML page, which opens without a network connection."""
    groups = {title: [d for d in report.drifts if d.kind == kind] for kind, title in KINDS.items()}
    return templates.render(
        "monitor.html.j2", report=report, groups=groups, moved=MOVED, alarm=ALARM, truth=report.truth
    )


def prometheus(report: Report, seconds: float) -> bytes:
    """Gauges for the textfile collector of Prometheus' node exporter; ``seconds`` since 1970 is the time of the run."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"movie_ratings_monitor_{name}", text, labels, registry=registry)

    gauge("time_seconds", "When the monitor ran, in seconds since 1970").set(seconds)
    gauge("movies", "Movies that were compared with the training movies").set(report.movies)
    gauge("alarms", "Alarms that stand").set(len(report.alarms))
    index = gauge("stability_index", "Population stability index against the training movies", ["kind", "name"])
    alarm = gauge("drift_alarm", "1 where an index is an alarm", ["kind", "name"])
    unknown = gauge("unknown_share", "Share of the movies without the field", ["field"])
    for drift in report.drifts:
        index.labels(drift.kind, drift.name).set(drift.index)
        alarm.labels(drift.kind, drift.name).set(drift.level == "alarm")
        if drift.kind == "unknown":
            unknown.labels(drift.name).set(sum(now for name, _, now in drift.bins if name == "unknown"))
    if report.truth:
        figures = gauge("truth", "Figures of predictions whose true label or rating is known", ["figure"])
        for name, value in asdict(report.truth).items():
            if value is not None:
                figures.labels(name).set(value)
    return bytes(generate_latest(registry))

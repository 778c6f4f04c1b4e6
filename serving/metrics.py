"""The Prometheus metrics of one service."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Counters, histograms and gauges, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "movie_ratings_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "movie_ratings_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
            registry=self.registry,
        )
        self.predictions = Counter("movie_ratings_predictions", "Movies predicted", ["label"], registry=self.registry)
        self.batch = Histogram(
            "movie_ratings_batch_movies",
            "Movies answered in one go",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self.open = Gauge("movie_ratings_open_movies", "Movies waiting or being answered", registry=self.registry)
        self.connections = Gauge("movie_ratings_connections", "Open connections", registry=self.registry)
        self.closed = Counter(
            "movie_ratings_closed_connections",
            "Connections that the service closed, by reason: a status, or why there was no answer",
            ["reason"],
            registry=self.registry,
        )
        self.log_rows = Counter(
            "movie_ratings_log_rows", "Rows that the log of predictions has written", ["kind"], registry=self.registry
        )
        self.log_dropped = Counter(
            "movie_ratings_log_dropped_rows",
            "Rows that the log of predictions had no room for, or that its disk did not take",
            ["kind"],
            registry=self.registry,
        )
        self.log_writes = Gauge(
            "movie_ratings_log_writes", "1 while the log of predictions is on and writes", registry=self.registry
        )
        self.model = Gauge("movie_ratings_model", "The model that answers", ["version"], registry=self.registry)

    def show_model(self, version: str) -> None:
        """Name the model that predicts from now on."""
        self.model.clear()
        self.model.labels(version).set(1)

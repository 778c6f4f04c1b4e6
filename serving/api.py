"""The HTTP application: its routes, what every request passes, and the shape of errors."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from serving import routes
from serving.batching import BusyError
from serving.middleware import BUSY, Gate
from serving.responses import problem
from serving.schemas import MAX_BODY
from serving.service import Service


class Application(FastAPI):
    """FastAPI, with documentation that names the version of the model that answers now."""

    def __init__(self, service: Service):
        super().__init__(
            title="Movie Ratings",
            summary="Will a movie be rated bad, average or good?",
            version=service.classifier.version,
            description="Predictions from title, summary and genres, and from more facts where they are known. "
            "The label weighs each calibrated probability against how rare its class is.",
        )
        self._service = service

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made anew when the model was swapped."""
        if self.version != self._service.classifier.version:
            self.version, self.openapi_schema = self._service.classifier.version, None
        return super().openapi()


def create_app(service: Service, *, key: str | None = None) -> FastAPI:
    """The application of ``service``. With ``key``, each prediction requires it in the header X-API-Key."""
    app = Application(service)
    for router in (routes.v1, routes.original, routes.operation):
        app.include_router(router(service))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BusyError, _busy)
    app.add_middleware(Gate, metrics=service.metrics, limit=MAX_BODY, key=key, full=lambda: service.full)
    return app


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        {"field": ".".join(map(str, fault["loc"][1:])) or "body", "message": fault["msg"]} for fault in error.errors()
    ]
    return problem(422, f"{faults[0]['field']}: {faults[0]['message']}", faults[:100])


async def _busy(request: Request, error: Exception) -> Response:
    return problem(503, BUSY)

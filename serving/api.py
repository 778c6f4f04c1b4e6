"""The HTTP application: its routes, what every request passes, and the shape of errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from starlette.routing import Route

from serving import docs, routes
from serving.batching import BusyError
from serving.middleware import BUSY, Gate, Paths
from serving.responses import problem
from serving.service import Service

if TYPE_CHECKING:
    from serving.tmdb import LookUps

# How much of what is wrong a response lists: the response must not be larger than the request.
MAX_FAULTS: Final = 20
MAX_FIELD: Final = 100  # characters
MAX_MESSAGE: Final = 300


@dataclass(frozen=True)
class Access:
    """Who may use the service, and from where.

    With ``key``, each prediction requires it in the header X-API-Key. ``root_path`` is the path under which a proxy
    publishes the service, such as /movies. Pages of ``cors_origins`` may send requests; pages of ``frame_ancestors``
    may show the page in a frame.
    """

    key: str | None = None
    root_path: str = ""
    cors_origins: Sequence[str] = ()
    frame_ancestors: Sequence[str] = ()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every response."""
        ancestors = " ".join(["'self'", *self.frame_ancestors])
        # Older browsers read X-Frame-Options, which cannot name an origin.
        framed = {} if self.frame_ancestors else {"X-Frame-Options": "SAMEORIGIN"}
        return framed | {
            "Content-Security-Policy": f"frame-ancestors {ancestors}",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }


class Application(FastAPI):
    """FastAPI, with documentation that names the version of the model that answers now."""

    def __init__(self, service: Service):
        super().__init__(
            title="Movie Ratings",
            summary="Will a movie be rated bad, average or good?",
            version=service.classifier.version,
            description="Predictions from title, summary and genres, and from more facts where they are known. "
            "The label weighs each calibrated probability against how rare its class is.",
            # FastAPI's own pages load scripts from another host.
            docs_url=None,
            redoc_url=None,
        )
        self._service = service

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made anew when the model was swapped."""
        if self.version != self._service.classifier.version:
            self.version, self.openapi_schema = self._service.classifier.version, None
        return super().openapi()


def create_app(service: Service, access: Access, look_ups: "LookUps | None" = None) -> FastAPI:
    """The application of ``service``; with ``look_ups``, it answers what TMDB has of a movie too."""
    app = Application(service)
    routers = [router(service) for router in (routes.v1, routes.original, routes.operation)]
    if service.log:
        routers.insert(1, routes.feedback(service.log))
    if look_ups is not None:
        routers.append(routes.tmdb(look_ups))
    for router in routers:
        app.include_router(router)

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> Response:
        return HTMLResponse(docs.html(app.openapi(), access.root_path))

    for router in [*routers, app.router]:
        _refuse_other_methods(app, router)

    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BusyError, _busy)
    app.add_middleware(
        Gate,
        metrics=service.metrics,
        paths=Paths(access.root_path, [*routes.PATHS, "/docs"]),
        key=access.key,
        headers=access.headers,
        full=lambda: service.full,
    )
    if access.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=access.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "X-API-Key"],
        )
    return app


def _refuse_other_methods(app: FastAPI, router: APIRouter) -> None:
    """Answer every other method on a path of ``router`` with 405: the page, mounted at /, would answer it with 404."""
    for route in [route for route in router.routes if isinstance(route, APIRoute)]:
        allowed = ", ".join(sorted(route.methods or ()))
        refusal = problem(405, f"{route.path} takes {allowed}")
        refusal.headers["Allow"] = allowed
        app.router.routes.append(Route(route.path, refusal, include_in_schema=False))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        {
            "field": _cut(".".join(map(str, fault["loc"][1:])) or "body", MAX_FIELD),
            "message": _cut(fault["msg"], MAX_MESSAGE),
        }
        for fault in error.errors()[:MAX_FAULTS]
    ]
    return problem(422, f"{faults[0]['field']}: {faults[0]['message']}", faults)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


async def _busy(request: Request, error: Exception) -> Response:
    return problem(503, BUSY)

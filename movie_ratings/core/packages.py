"""Data files inside installed packages, found without importing or running the package."""

import importlib.util
from pathlib import Path

from movie_ratings.core.errors import UserError


def installed_file(place: str) -> Path:
    """The path of ``PACKAGE/FILE`` (or a folder) inside an installed package.

    Raises:
        UserError: the package is not installed or holds no such file.
    """
    package, _, inside = place.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{place}: the package {package!r} is not installed; run `make setup`")
    path = Path(spec.submodule_search_locations[0], inside)
    if not path.exists():
        raise UserError(f"{place}: the installed package {package!r} holds no {inside!r}")
    return path

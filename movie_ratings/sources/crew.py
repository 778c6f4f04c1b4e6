"""The crew of a film by its role: which jobs, as TMDB names them, fill which field of the movie record."""

from collections.abc import Iterable
from typing import Final

# The jobs of each field. People of the first group of jobs come before those of the next one, and within a group they
# keep the order of the source.
JOBS: Final[dict[str, tuple[frozenset[str], ...]]] = {
    "directors": (frozenset({"Director"}),),
    "writers": (frozenset({"Screenplay", "Writer", "Story", "Author", "Novel"}),),
    "producers": (frozenset({"Producer"}), frozenset({"Executive Producer"})),
    "cinematographers": (frozenset({"Director of Photography", "Cinematography"}),),
    "editors": (frozenset({"Editor"}),),
    "composers": (frozenset({"Original Music Composer", "Music"}),),
}


def by_role(crew: Iterable[tuple[str | None, str | None]]) -> dict[str, list[str]]:
    """The names of each field of `JOBS`, each name once in a field.

    ``crew`` has the name and the job of each member, in the order of the source. A member without a name is left out.
    """
    members = [(name, job) for name, job in crew if name]
    return {
        field: list(dict.fromkeys(name for jobs in groups for name, job in members if job in jobs))
        for field, groups in JOBS.items()
    }

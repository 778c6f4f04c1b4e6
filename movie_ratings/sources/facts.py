"""A summary for movies of sources without plots."""


def summary(
    year: int | None,
    countries: list[str],
    languages: list[str],
    runtime: int | None,
    directors: list[str],
    writers: list[str],
) -> str:
    """One or two sentences of the facts known on the day of release; an unknown fact is left out."""
    facts = [f"A film of {year}" if year else "A film"]
    if countries:
        facts.append(f"from {_listed(countries)}")
    if languages:
        facts.append(f"in {_listed(languages)}")
    if runtime:
        facts.append(f"lasting {runtime} minutes")
    makers = []
    if directors:
        makers.append(f"directed by {_listed(directors)}")
    if writers:
        makers.append(f"written by {_listed(writers)}")
    sentences = [" ".join(facts)] if facts != ["A film"] else []
    if makers:
        sentences.append(f"It was {' and '.join(makers)}")
    return " ".join(f"{sentence}." for sentence in sentences)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

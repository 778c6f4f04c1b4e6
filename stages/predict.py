"""Predict a rating, and bad, average or good, for one movie from flags, or for every movie of a file.

The true rating lies in the 80% interval for four movies in five.

The label comes from the checkpoint's decision rule, which is fitted to find rare classes too; the probabilities are
calibrated. The label need not have the largest probability: a movie can be labelled "good" at a probability of 0.4,
because only one movie in seven is good.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from movie_ratings.core import storage
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import MODEL
from movie_ratings.movies import text
from movie_ratings.movies.validation import MovieError, ValidMovie, validated
from movie_ratings.prediction import what_if, wording
from movie_ratings.prediction.classifier import BALANCED, Classifier, Decision, Prediction
from movie_ratings.prediction.engines import Precision
from movie_ratings.prediction.explain import LIMITS, Explanation, as_dict, explain, strongest

if TYPE_CHECKING:
    from movie_ratings.prediction.movie_table import MovieTable

BAR: Final = 40  # characters of the bar of probability 1
# What the flag of each field of `text.FIELDS` stands for. Flags of names are repeated.
HELP: Final = {
    "title": "title of one movie",
    "genres": "a genre",
    "year": "year of the first release",
    "runtime": "length in minutes",
    "spoken_languages": "a language, by its own name",
    "directors": "a director",
    "cast": "an actor, the stars first",
    "writers": "a writer",
    "producers": "a producer",
    "cinematographers": "a cinematographer",
    "editors": "an editor",
    "composers": "a composer",
    "companies": "a company of production",
    "countries": "a country of production, by its English name",
    "collection": "the series of films that the movie belongs to",
    "keywords": "a keyword",
    "budget": "budget in US dollars",
    "summary": "plot of the movie",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    given = [field for field in text.FIELDS if getattr(options, field) is not None]
    of_tmdb = [flag for flag in ("tmdb", "find") if getattr(options, flag) is not None]
    one = bool(given or of_tmdb)
    if bool(options.input) == one or (options.output and not options.input):
        parser.error("give either one movie (--title, --summary and its facts, --tmdb or --find) or --input")
    if len(of_tmdb) > 1 or (of_tmdb and set(given) - ({"year"} if options.find is not None else set())):
        parser.error("--tmdb and --find take the facts of one movie from TMDB: only --find has --year beside it")
    if options.input and options.comparables:
        parser.error("--comparables is for one movie: --title, --summary and its facts")
    if options.input and options.vary:
        parser.error("--vary is for one movie: --title, --summary and its facts")
    if options.vary and (options.explain or options.comparables):
        parser.error("give either --vary, or --explain and --comparables")
    if options.engine == "ray" and not options.output:
        parser.error("--engine ray needs --input and --output")
    if options.output and options.json:
        parser.error("--json is for printed predictions; an --output that ends in .jsonl holds lines of JSON")
    return exit_code(lambda: _predict_many(options) if options.input else _predict_one(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='Example: python -m stages.predict --title "The Long Harbour" '
        '--summary "A widowed pilot guides one last ship home." --genres Drama --genres Romance',
    )
    for field in text.FIELDS:
        flag, known = f"--{field.replace('_', '-')}", HELP[field]
        if field in text.NAMES:
            parser.add_argument(flag, action="append", metavar="NAME", help=f"{known}; repeat for several")
        elif field in text.NUMBERS:
            parser.add_argument(flag, type=int, metavar=field.upper(), help=known)
        else:
            parser.add_argument(flag, metavar="TEXT", help=known)
    parser.add_argument(
        "--tmdb",
        type=int,
        metavar="ID",
        help="the movie with this id at TMDB, with what TMDB has of it today; needs TMDB_API_KEY or TMDB_ACCESS_TOKEN",
    )
    parser.add_argument(
        "--find",
        metavar="TITLE",
        help="the movie with this title at TMDB, of --year if given; several matches are listed with their ids",
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="many movies: a table in any format that fetch reads (.csv, .tsv, .jsonl, .json, .parquet, .xlsx, also in "
        ".gz and .zip) with a title or a summary and, where known, the other fields above; "
        "python -m stages.fetch --describe FILE prints which columns are read",
    )
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="FIELD=COLUMN",
        help="the column of --input that holds a field, where its name does not say so: title=Name; repeat for other "
        "fields, and for lists in several columns: cast=Star1; an empty COLUMN: no column holds the field",
    )
    parser.add_argument(
        "--encoding", default="auto", help="of --input, if it is text, such as cp1250 (default: detected)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="file to write: .csv, .tsv, .json, .jsonl, .parquet or .xlsx (default: print)",
    )
    parser.add_argument("--model", default=MODEL, metavar="FOLDER", help="a served folder (default: %(default)s)")
    parser.add_argument("--rev", help="the model of this git revision, tag or stage (prod), from DVC's cache or remote")
    parser.add_argument("--json", action="store_true", help="print lines of JSON, with the model's version")
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="auto",
        help="of --input: auto is bf16 where OpenVINO is installed (requirements-bf16.txt), the processor has "
        "instructions for bf16 and the model predicts nearly the same; else, and with fp32, the model's own "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--decision",
        choices=get_args(Decision),
        default=BALANCED,
        help="balanced: the label weighs each probability against how rare its class is; most_probable: the label is "
        "the class with the largest probability (default: %(default)s)",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="which words and fields moved the prediction; of --input: the three strongest reasons of each movie, as "
        "columns of --output, which takes about 14 times as long as the predictions alone",
    )
    parser.add_argument(
        "--vary",
        action="append",
        metavar="FIELD=VALUE,…",
        help="one movie: predict it once more for each value of a field: runtime=90,110,130; a value with a comma "
        "stands in quotes, ; stands between the names of one list, an empty value means not known; repeat for other "
        "fields, each of which is varied alone",
    )
    parser.add_argument(
        "--comparables", action="store_true", help="one movie: which rated movies of the training split resemble it"
    )
    parser.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="ray: on a cluster, Parquet files only"
    )
    parser.add_argument("--workers", type=int, default=2, help="--engine ray: number of workers (default: %(default)s)")
    return parser


def _predict_one(options: argparse.Namespace) -> None:
    movie = _movie(options)
    if options.vary:
        _predict_varied(options, what_if.variants(movie, options.vary))
        return
    classifier = Classifier.load(options.model, options.rev)
    explanation = explain(classifier, movie, options.decision) if options.explain else None
    prediction = explanation.prediction if explanation else classifier.predict([movie], options.decision)[0]
    films = classifier.comparables([movie])[0] if options.comparables else []
    if options.json:
        effects: dict[str, Any] = {"explanation": as_dict(explanation)} if explanation else {}
        if options.comparables:
            effects["comparables"] = [film._asdict() for film in films]
        known = {"base_rates": classifier.base_rates} | _model(classifier)
        print(json.dumps({**prediction._asdict(), **effects, **known}))
        return
    print(f"{prediction.label}: {wording.rating_with_interval(prediction)}")
    for name, probability in prediction.probabilities.items():
        usual = wording.compared(name, prediction, classifier.base_rates)
        print(f"  {name:<8} {probability:.3f}  {'█' * round(BAR * probability):<{BAR}}  {usual}")
    if reason := wording.why_not_most_probable(prediction):
        print(f"{reason} For the most probable class: --decision most_probable.")
    if explanation:
        print("\n".join(_explained(explanation)))
    if options.comparables:
        print("Movies that resemble it, and how they were rated:" if films else "This model has no comparable movies.")
        for film in films:
            print(f"  {film.rating:4.1f}  {film.title[:60]}{f' ({film.year})' if film.year else ''}")


def _explained(explanation: Explanation) -> Iterator[str]:
    """An explanation in lines: the effects, then the contributions of the linear part."""
    yield f"What moved the probability of {explanation.prediction.label!r} and the rating, and by how much:"
    for found in [*explanation.fields, *strongest(explanation.words, 8)]:
        text_ = text.normalise(found.text)[:60]
        yield f"  {found.effect:+.3f}  {found.rating_effect:+.2f}  {found.field:<16} {text_}"
    if explanation.contributions:
        largest, rest = explanation.contributions.strongest(8)
        yield f"The linear part alone: rating {explanation.contributions.rating:.2f}, the sum of"
        yield f"  {explanation.contributions.intercept:+.2f}  intercept"
        yield from (f"  {found.points:+.2f}  {found.name[:78]}" for found in largest)
        yield f"  {rest:+.2f}  all other facts and words"
    yield f"({LIMITS})"


def _predict_varied(options: argparse.Namespace, variants: Sequence[what_if.Variant]) -> None:
    classifier = Classifier.load(options.model, options.rev)
    what_if.require_read(variants, classifier.metadata.fields)
    predictions = classifier.predict([variant.movie for variant in variants], options.decision)
    if not options.json:
        print("\n".join(what_if.table(variants, predictions)))
        return
    for variant, prediction in zip(variants, predictions, strict=True):
        varied = {"field": variant.field, "value": variant.value}
        change = {"rating_difference": what_if.difference(prediction, predictions[0])}
        known = {"base_rates": classifier.base_rates} | _model(classifier)
        print(json.dumps({**varied, **prediction._asdict(), **change, **known}))


def _movie(options: argparse.Namespace) -> ValidMovie:
    if options.tmdb is not None or options.find is not None:
        from stages import _tmdb  # and with it the libraries of HTTP, which a movie of flags does not need

        return _tmdb.movie(options.tmdb, options.find, options.year, options.json)
    try:
        return validated({field: getattr(options, field) for field in text.FIELDS})
    except MovieError as error:
        flag = "--title, --summary" if error.field == "title" else f"--{error.field.replace('_', '-')}"
        raise error.at(flag) from None


def _predict_many(options: argparse.Namespace) -> None:
    from movie_ratings.prediction import bulk, writer  # they import Parquet, which one movie does not need
    from movie_ratings.prediction.movie_table import MovieTable

    if options.output:
        writer.require_format(options.output)
        storage.require_no_folder(options.output)
    table = MovieTable(options.input, mapping=_columns(options.column), parameter="--column", encoding=options.encoding)
    answer = bulk.Answer(options.decision, options.explain)
    if options.engine == "ray":
        from movie_ratings.prediction import ray_engine, revisions

        model = revisions.fetch(options.rev, options.model) if options.rev else options.model
        count = ray_engine.predict(table, options.output, str(model), options.workers, answer)
        _report(table)
        print(f"predict: {count:,} movies, {options.output} written")
        return
    classifier = Classifier.load(options.model, options.rev, precision=options.precision)
    if options.output:
        count = bulk.predict_table(classifier, table, options.output, answer)
        _report(table)
        print(f"predict: {count:,} movies in {classifier.precision}, {options.output} written")
        return
    for movies, _ in table.batches(bulk.BATCH):
        for movie, (prediction, reasons) in zip(movies, answer.each(classifier, movies), strict=True):
            title = text.normalise(movie.get("title") or "")
            if options.json:
                explained = {"reasons": reasons} if options.explain else {}
                print(json.dumps({"title": title, **prediction._asdict(), **explained, **_model(classifier)}))
            else:
                print(f"{prediction.label:<8} {_figures(prediction)}  {title[:80]}")
                if reasons:
                    print(f"{'':8} {'; '.join(reasons)}")
    _report(table)


def _model(classifier: Classifier) -> dict[str, Any]:
    """What a printed prediction states about the model that made it."""
    return {"version": classifier.version, "precision": classifier.precision}


def _columns(given: Sequence[str]) -> dict[str, Any]:
    """The mapping of ``--column``: a field's column, its columns if the flag is repeated, or None."""
    from movie_ratings.prediction.movie_table import FIELDS, field_of

    mapping: dict[str, Any] = {}
    for each in given:
        name, equals, column = each.partition("=")
        field = field_of(name)
        if not equals or field is None:
            expected = ", ".join(FIELDS.names)
            raise UserError(f"--column {each}: expected FIELD=COLUMN, where FIELD is one of {expected}")
        mapping[field] = [*(mapping.get(field) or []), column] if column else None
    return mapping


def _report(table: "MovieTable") -> None:
    """Print which columns were read, on standard error, so that nothing is left out in silence."""
    print("\n".join(table.report.lines()), file=sys.stderr)


def _figures(prediction: Prediction) -> str:
    low, high = prediction.interval_80
    percents = " ".join(f"{name} {probability:4.0%}" for name, probability in prediction.probabilities.items())
    return f"{prediction.predicted_rating:4.1f} ({low:.1f} to {high:.1f})  {percents}"


if __name__ == "__main__":
    sys.exit(main())

"""The tab "What if": up to three variants of a movie side by side, compared with the first one."""

import json
from typing import Any, Final

import gradio as gr

from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.classifier import Classifier, Prediction
from movie_ratings.prediction.steps import Steps
from serving.page import differences, form
from serving.page.answer import Basis
from serving.page.blocks import LIGHT, LIMITED, Refusal, refusing
from serving.service import Service

VARIANTS: Final = 3
# Marks the fields that differ from the first variant's while the visitor types. No request is needed for it.
MARK: Final = f"(...values) => window.markDifferences({json.dumps(form.INPUTS)}, values)"


def tab(service: Service, inputs: list[Any]) -> None:
    """The tab, whose variants are copies of the form ``inputs``."""

    def add(count: Any, *values: Any) -> dict[Any, Any]:
        shown = _counted(count)
        if shown == VARIANTS:
            raise Refusal(f"There are {VARIANTS} variants already; remove one first.")
        with refusing():
            movie = form.movie(values)
        fields = dict(zip(columns[shown], form.column_values(movie), strict=True))
        return {number: shown + 1, answers[shown]: "", groups[shown]: gr.update(visible=True), **fields}

    def remove(count: Any) -> dict[Any, Any]:
        shown = _counted(count)
        if not shown:
            raise Refusal("There is no variant.")
        return {number: shown - 1, answers[shown - 1]: "", groups[shown - 1]: gr.update(visible=False)}

    async def compare(count: Any, *values: Any) -> dict[Any, Any]:
        shown = _counted(count)
        if not shown:
            raise Refusal("Add a variant first.")
        size = len(form.INPUTS)
        movies = []
        for variant in range(shown):
            try:
                with refusing():
                    movies.append(form.movie(values[variant * size : (variant + 1) * size]))
            except Refusal as error:
                raise Refusal(f"Variant {variant + 1}: {error.message}") from None
        with refusing():
            predictions, basis = await service.run(lambda classifier: _predicted(classifier, movies))
        service.logged(movies, predictions, basis.version)
        first, *others = zip(movies, predictions, strict=True)
        found = [differences.compared(*first, basis), *(differences.compared(*one, basis, first) for one in others)]
        return dict(zip(answers, found, strict=False))

    gr.Markdown(
        "Copy the form of the first tab into a variant, change a director, the length or the plot, and compare. "
        "What differs from variant 1 is marked."
    )
    with gr.Row():
        adding = gr.Button("Add the form as a variant", min_width=140)
        removing = gr.Button("Remove the last variant", min_width=140)
        comparing = gr.Button("Compare", variant="primary", min_width=140)
    number = gr.Number(value=0, precision=0, visible=False)
    groups, answers, columns = [], [], []
    with gr.Row(equal_height=False):
        for variant in range(1, VARIANTS + 1):
            with gr.Column(visible=False, min_width=280, elem_id=f"variant-{variant}") as group:
                gr.Markdown(f"### Variant {variant}")
                answers.append(gr.HTML(elem_id=f"answer-{variant}", elem_classes="variant", js_on_load=None))
                columns.append(form.column(f"variant-{variant}"))
            groups.append(group)
    fields = [field for column in columns for field in column]
    marking = {"fn": None, "inputs": fields, "js": MARK, "api_visibility": "private"}
    adding.click(add, [number, *inputs], [number, *answers, *groups, *fields], **LIGHT).then(**marking)
    removing.click(remove, number, [number, *answers, *groups], **LIGHT)
    comparing.click(compare, [number, *fields], answers, scroll_to_output=True, **LIMITED)
    gr.on([field.change for field in fields], show_progress="hidden", **marking)


def _counted(count: Any) -> int:
    """The number of variants that the page shows, which the browser keeps."""
    if not isinstance(count, int) or not 0 <= count <= VARIANTS:
        raise Refusal("This request does not fit the page.")
    return count


def _predicted(classifier: Classifier, movies: list[ValidMovie]) -> Steps[tuple[list[Prediction], Basis]]:
    predictions = yield from classifier.predict_in_steps(movies)
    return predictions, Basis.of(classifier)

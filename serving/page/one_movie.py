"""The tab of one movie: the form, the answer with its reasons, and a link that carries the form.

Where the service has a key to TMDB, a search fills the form; where it has a log, visitors can report the true label.
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gradio as gr

from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.classifier import Classifier, Comparable
from movie_ratings.prediction.explain import Explanation, explain_in_steps
from movie_ratings.prediction.steps import Steps
from serving.page import answer, feedback, form, link, search
from serving.page.blocks import LIGHT, LIMITED, Refusal, refusing
from serving.page.markup import shown
from serving.service import Service

if TYPE_CHECKING:
    from serving.tmdb import LookUps

EXAMPLES: Final = [
    ["The Long Harbour", "A widowed pilot guides one last ship home through the ice.", ["Drama", "Romance"]],
    ["Spring Break Shark 4", "The shark is back, and this time it has brought its cousins.", ["Horror", "Comedy"]],
    ["Paper Lanterns", "Three sisters keep their mother's cinema alive in occupied Seoul.", ["Drama", "History"]],
]
# Sets the first value of an event, which has no component of its own, to the address of the page.
ADDRESS: Final = "(_, ...values) => [location.origin + location.pathname, ...values]"
LONGEST_ADDRESS: Final = 1_000  # characters


class _Answer(NamedTuple):
    explanation: Explanation
    comparables: list[Comparable]
    basis: answer.Basis


def tab(service: Service, page: gr.Blocks, notice: Any, look_ups: "LookUps | None" = None) -> list[Any]:
    """The tab; returns the fields of its form, in the order of `serving.page.form.INPUTS`.

    The message about a broken link appears in ``notice`` when ``page`` is opened. With ``look_ups``, the tab has a
    search at TMDB.
    """

    async def predict(*values: Any) -> tuple[Any, ...]:
        with refusing():
            movie = form.movie(values)
            found = await service.run(lambda classifier: _answered(classifier, movie))
        prediction = found.explanation.prediction
        ids = service.logged([movie], [prediction], found.basis.version)
        shown = answer.heading(prediction, found.basis)
        details = answer.details(found.explanation, found.comparables, found.basis)
        return shown, details, *(feedback.about(prediction, ids) if service.log else ())

    with gr.Row():
        with gr.Column():
            box = search.box() if look_ups else None
            inputs = form.form()
            if box and look_ups:
                search.connect(box, look_ups, inputs)
            button = gr.Button("Predict", variant="primary")
        with gr.Column():
            # No event: the answer holds both labels, and the style sheet shows the one that is chosen here.
            decision = gr.Radio(
                list(answer.DECISIONS), value="balanced", label="The label is", elem_id="decision", interactive=True
            )
            outputs = [_html("label"), _html("details")]
            if service.log:
                outputs += feedback.below(service.log, decision)
            with gr.Accordion("Link to this movie", open=False):
                _link(inputs)
    title, summary, genres, *_ = inputs
    gr.Examples(EXAMPLES, [title, summary, genres], label="Examples (invented)")
    for event in (button.click, title.submit):
        event(predict, inputs, outputs, scroll_to_output=True, show_progress_on=outputs[:2], **LIMITED)
    page.load(_opened, None, [notice, *inputs], **LIGHT)
    return inputs


def _html(name: str) -> Any:
    return gr.HTML(elem_id=name, js_on_load=None)


def _link(inputs: list[Any]) -> None:
    address = gr.Textbox(visible=False)
    made = gr.Textbox(label="Link", info="It holds what the form holds.", buttons=["copy"], elem_id="link")
    button = gr.Button("Make the link", size="sm")
    button.click(_linked, [address, *inputs], made, js=ADDRESS, **LIGHT)


def _linked(address: Any, *values: Any) -> str:
    if not isinstance(address, str) or len(address) > LONGEST_ADDRESS:
        raise Refusal("This request does not fit the page.")
    with refusing():
        return f"{address}?{link.PARAMETER}={link.pack(form.movie(values))}"


def _opened(request: gr.Request) -> Any:
    """The message and the form when the page is opened: with a movie if the address of the page carries one."""
    packed = request.query_params.get(link.PARAMETER)
    nothing = (gr.skip(),) * len(form.INPUTS)
    if packed is None:
        return "", *nothing
    try:
        with refusing():
            movie = link.unpack(packed)
    except Refusal as error:
        return f'<p class="refused">The movie of this link cannot be shown. {shown(error.message)}</p>', *nothing
    return "", *form.values(movie)


def _answered(classifier: Classifier, movie: ValidMovie) -> Steps[_Answer]:
    """An explanation and comparable movies, all of one model."""
    explanation = yield from explain_in_steps(classifier, movie)
    yield
    (similar,) = yield from classifier.comparables_in_steps([movie])
    return _Answer(explanation, similar, answer.Basis.of(classifier))

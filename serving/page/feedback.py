"""The question below an answer whether its label was right: only where the service has a log, which keeps the replies.

It takes what `POST /v1/feedback` takes: the id of a prediction, with the true label or the true rating of its movie.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from pydantic import ValidationError

from movie_ratings.model.rating import HIGHEST, LOWEST
from movie_ratings.movies.labels import CLASSES
from movie_ratings.prediction.classifier import Prediction
from serving.page.blocks import LIGHT, Refusal
from serving.page.markup import refused
from serving.schemas import Feedback

if TYPE_CHECKING:
    from serving.prediction_log import PredictionLog

WRITTEN: Final = re.compile(r"\d{1,2}(?:[.,]\d{1,2})?", re.ASCII)  # a rating
THANKS: Final = "<p>Thank you. The log has it.</p>"


def below(log: "PredictionLog", decision: Any) -> list[Any]:
    """The components, at the place where this is called; `about` has their values for an answer.

    ``decision`` is the radio that chooses which of the two labels the visitor sees.
    """

    def right(number: str, balanced: str, probable: str, decision: str) -> tuple[Any, ...]:
        return kept(number, label=probable if decision == "most_probable" else balanced)

    def wrong() -> Any:
        return gr.update(visible=True)

    def send(number: str, label: str | None, rating: str | None) -> tuple[Any, ...]:
        written = (rating or "").strip()
        return kept(number, rating=_number(written)) if written else kept(number, label=label)

    def kept(number: str, **truth: Any) -> tuple[Any, ...]:
        try:
            keep(log, number, **truth)
        except Refusal as error:
            # An error of an event would cover the fields that the visitor has to correct.
            return *(gr.skip(),) * 4, refused(error.message)
        return _hidden(THANKS)

    number, balanced, probable = (gr.Textbox(visible=False) for _ in range(3))
    with gr.Column(visible=False, elem_id="feedback") as question:
        gr.Markdown("Do you know how the movie was rated?")
        with gr.Row():
            is_right = gr.Button("The label is right", size="sm", min_width=140)
            is_wrong = gr.Button("The label is wrong", size="sm", min_width=140)
        with gr.Column(visible=False) as truth:
            label = gr.Radio(list(CLASSES), label="The true label", interactive=True)
            rating = gr.Textbox(
                label="Or the true rating", info="0 to 10. It takes the place of the label.", max_length=20
            )
            sending = gr.Button("Send", size="sm")
    message = gr.HTML(elem_id="thanks", js_on_load=None)
    outputs = [question, truth, label, rating, message]
    is_right.click(right, [number, balanced, probable, decision], outputs, **LIGHT)
    is_wrong.click(wrong, None, truth, **LIGHT)
    sending.click(send, [number, label, rating], outputs, **LIGHT)
    return [number, balanced, probable, *outputs]


def about(prediction: Prediction, ids: Sequence[str] | None) -> tuple[Any, ...]:
    """The values of `below` for an answer. Without ``ids``, as when the log has no room, there is no question."""
    if not ids:
        return "", "", "", *_hidden("")
    return ids[0], prediction.label, prediction.most_probable, gr.update(visible=True), *_hidden("")[1:]


def keep(log: "PredictionLog", number: str, rating: float | None = None, label: str | None = None) -> None:
    """Give the log the true rating or label of the prediction ``number``.

    Raises:
        Refusal: the values are none that `POST /v1/feedback` takes, or the log does not take them.
    """
    try:
        given = Feedback.model_validate({"id": number, "rating": rating, "label": label})
    except ValidationError:
        raise Refusal(f"Choose the true label, or write a rating from {LOWEST:.0f} to {HIGHEST:.0f}.") from None
    if not log.knows(given.id):
        raise Refusal("The log has no such prediction.")
    if not log.rated(given.id, given.rating, given.label):
        raise Refusal("The log has no room, or has stopped; try again in a second.")


def _hidden(message: str) -> tuple[Any, ...]:
    """No question; its fields are empty for the next one."""
    return gr.update(visible=False), gr.update(visible=False), None, "", message


def _number(written: str) -> float | None:
    return float(written.replace(",", ".")) if WRITTEN.fullmatch(written) else None

"""The description of the model."""

import gradio as gr

from movie_ratings.prediction.classifier import Classifier
from serving.page.blocks import LIGHT
from serving.service import Service, model_card


def tab(service: Service, page: gr.Blocks) -> None:
    """The tab, made anew when ``page`` is opened: the model may have been swapped since the page was built."""
    card = gr.Markdown(_card(service.classifier))
    page.load(lambda: _card(service.classifier), None, card, **LIGHT)


def _card(classifier: Classifier) -> str:
    card = model_card(classifier)
    low, high = card["thresholds"]["low"], card["thresholds"]["high"]
    figures = card["metrics"]["validation"]
    measured = (
        f"On {figures['rows']:,} movies of the validation split: balanced accuracy {figures['balanced_accuracy']:.3f}, "
        f"macro-F1 {figures['macro_f1']:.3f}. Chance is 0.333.\n\n"
        if figures
        else ""
    )
    return (
        f"**Version** {card['version']}, {card['variant']}, fine-tuned from `{card['origin'].get('model')}`.\n\n"
        f"**bad** is a rating below {low:.2f} of 10, **good** one above {high:.2f}.\n\n{measured}"
        f"The model reads {', '.join(card['text']['fields'])}, up to {card['text']['max_length']} tokens. "
        "It was trained on the ratings of people on TMDB, which depend on their taste as much as on the films. "
        "It is no basis for a decision about anyone's work."
    )

"""`python -m keras_attention caption`: what a captioner says of your own pictures."""

import pathlib

import numpy as np

from keras_attention.applications import from_preset
from keras_attention.images import load_image
from keras_attention.visualization import show_captions
from keras_attention.visualization import show_words
from keras_attention.visualization.view import writable

# Pixels of the longer side of a picture in the page, about.
SHOWN_SIDE = 384


def main(options, parser):
    """Captions pictures, prints what the model says and writes the page.

    Args:
        options: What the parser of `keras_attention.__main__` read.
        parser: That parser, for messages.
    """
    try:
        page = writable(options.page)
        model = load_captioner(options.model)
        # As the model sees them, and in the same frame, but sharper, for the page.
        factor = max(1, SHOWN_SIDE // max(model.image_size))
        sharp_size = tuple(factor * side for side in model.image_size)
        images = [load_image(path, model.image_size) for path in options.pictures]
        sharp = [load_image(path, sharp_size) for path in options.pictures]
    except (ValueError, OSError, ImportError) as error:
        parser.error(str(error))
    captions, log_probabilities, *weights = model.caption(
        np.stack(images),
        beam_width=options.beam_width,
        return_log_probabilities=True,
        return_attention_scores=model.decoder.has_attention,
    )
    for path, text, value in zip(
        options.pictures, captions, log_probabilities, strict=True
    ):
        print(f"{path}: {text or '(no words)'} (log-probability {value:.2f})")
    if not weights:
        print(f"{type(model).__name__} has no attention to show: no page is written.")
        return
    (weights,) = weights  # (B, T, H, W)
    if len(sharp) == 1:
        view = show_words(sharp[0], captions[0], weights[0])
    else:
        view = show_captions(sharp, captions, weights)
    try:
        path = view.save(page)
    except OSError as error:
        parser.error(f"the page could not be written: {error}")
    print(f"Where it looked for each word: {path}")


def load_captioner(folder):
    """The captioner in a folder that the demo or `save_to_preset` wrote."""
    if not (pathlib.Path(folder) / "config.json").is_file():
        raise ValueError(
            f"there is no model in {folder!r}. Train one with `python -m "
            "keras_attention demo`, or name the folder of another with --model."
        )
    model = from_preset(folder)
    if not hasattr(model, "caption"):
        raise ValueError(
            f"the model in {folder!r}, {type(model).__name__}, describes no "
            "pictures. Name the folder of a captioner with --model."
        )
    if model.vocabulary is None:
        raise ValueError(
            f"the model in {folder!r} has no vocabulary, so it writes numbers instead "
            "of words. Train it with `vocabulary=...`."
        )
    return model

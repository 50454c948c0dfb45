"""The commands of the library: `python -m keras_attention --help` lists them."""

import argparse
import importlib
import importlib.metadata
import pathlib
import sys

PROGRAM = "python -m keras_attention"

# Commands that have a file of their own, with its own options.
WHOLE_COMMANDS = {
    "demo": "learn to describe small pictures, and show where the model looks",
    "pronounce": "learn how English words are spoken, and show which letters are read",
    "translate": "learn to translate from your sentence pairs, and show what is read",
}

# Pixels of the longer side of a picture in the page, about.
SHOWN_SIDE = 384


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def main(arguments=None):
    """Runs a command.

    Args:
        arguments: List of strings. Defaults to those of the process.
    """
    parser = build_parser()
    # What these commands take, only their files know.
    options, rest = parser.parse_known_args(arguments)
    if options.command in WHOLE_COMMANDS:
        command = importlib.import_module(f"keras_attention.{options.command}")
        return command.main(rest)
    command = {"attend": attend, "caption": caption}[options.command]
    return command(parser.parse_args(arguments), parser)


def caption(options, parser):
    """Captions pictures, prints what the model says and writes the page."""
    import numpy as np

    from keras_attention.preprocessing import load_image
    from keras_attention.visualization import show_captions
    from keras_attention.visualization import show_words
    from keras_attention.visualization.view import writable

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
        print(f"Where it looked for each word: {view.save(page)}")
    except OSError as error:
        parser.error(f"the page could not be written: {error}")


def attend(options, parser):
    """Writes the page that shows what a model reads of a picture or of a text."""
    from keras_attention.attend import load_model
    from keras_attention.attend import see_image
    from keras_attention.attend import see_text
    from keras_attention.visualization.view import writable

    try:
        page = writable(options.page)
        model = load_model(options.model)
        if options.image is not None:
            view, said = see_image(model, options.image)
        else:
            view, said = see_text(model, options.text)
        print(f"{said}: {view.save(page)}")
    except (ValueError, OSError, ImportError) as error:
        parser.error(str(error))


def load_captioner(folder):
    """The captioner in a folder that the demo or `save_to_preset` wrote."""
    from keras_attention.applications import from_preset

    if not (pathlib.Path(folder) / "config.json").is_file():
        raise ValueError(
            f"there is no model in {folder!r}. Train one with `{PROGRAM} demo`, or "
            "name the folder of another with --model."
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


def build_parser():
    parser = Parser(
        prog=PROGRAM,
        description="Attention systems on TensorFlow, JAX and PyTorch: try them.",
        epilog="The environment variable KERAS_BACKEND chooses the backend.",
    )
    version = importlib.metadata.version("keras-attention")
    parser.add_argument(
        "--version", action="version", version=f"keras-attention {version}"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in WHOLE_COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    command = commands.add_parser(
        "caption",
        help="describe your own pictures with the model of the demo",
        description=(
            "Describes pictures, and writes a page that shows where the model looked "
            "for each word."
        ),
    )
    command.add_argument(
        "pictures", metavar="PICTURE", nargs="+", help="a file: PNG, JPEG, SVG, ..."
    )
    command.add_argument(
        "--model",
        metavar="FOLDER",
        default="demo/model",
        help="folder of the model (%(default)s, where the demo saves its own)",
    )
    command.add_argument(
        "--beam-width",
        metavar="N",
        type=positive,
        default=3,
        help="captions that are kept at each word (%(default)s)",
    )
    command.add_argument(
        "--page",
        metavar="FILE",
        default="caption.html",
        help="the page to write (%(default)s)",
    )
    command = commands.add_parser(
        "attend",
        help="show what a saved model reads of a picture or of a text",
        description=(
            "Writes a page: where a captioner looks for each word, what the layers of "
            "a model read of the patches of a picture, what each head reads of a text, "
            "or which words a translator reads for each of its own."
        ),
    )
    command.add_argument(
        "--model",
        metavar="FOLDER",
        required=True,
        help="folder of save_to_preset, hf://owner/name, or a .keras file",
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", metavar="FILE", help="a picture: PNG, JPEG, SVG, ...")
    what.add_argument("--text", metavar="TEXT", help="a sentence, in quotes")
    command.add_argument(
        "--page",
        metavar="FILE",
        default="attention.html",
        help="the page to write (%(default)s)",
    )
    return parser


def positive(text):
    """The whole number from 1 that a text says."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

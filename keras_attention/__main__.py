"""The commands of the library: `python -m keras_attention --help` lists them."""

import argparse
import importlib
import importlib.metadata
import os
import signal
import sys

PROGRAM = "python -m keras_attention"

# Commands that have a file of their own, with its own options.
WHOLE_COMMANDS = {
    "demo": "learn to describe small pictures, and show where the model looks",
    "pronounce": "learn how English words are spoken, and show which letters are read",
    "translate": "learn to translate from your sentence pairs, and show what is read",
}


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
    command = importlib.import_module(f"keras_attention.commands.{options.command}")
    if options.command in WHOLE_COMMANDS:
        return command.main(rest, Parser)
    return command.main(parser.parse_args(arguments), parser)


def run(arguments=None):
    """Runs a command for the shell: what ends it early takes one line.

    Args:
        arguments: List of strings. Defaults to those of the process.

    Returns:
        The exit status, as shells have it: 130 after Ctrl-C, 141 where nobody reads
        what is written, 1 where a file or a disk fails.
    """
    try:
        try:
            status = main(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return say("stopped", 128 + signal.SIGINT)
    except BrokenPipeError:
        # What is left is written to nowhere, or Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # SIGPIPE
    except OSError as error:
        return say(f"error: {error}", 1)
    return status


def say(text, status):
    """Writes one line for people, and returns the exit status."""
    print(f"{PROGRAM}: {' '.join(text.split())}", file=sys.stderr)
    return status


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
            "for each word; or all pictures of a folder into a table, going on where "
            "it was stopped."
        ),
    )
    command.add_argument(
        "pictures",
        metavar="PICTURE",
        nargs="+",
        help="a file (PNG, JPEG, SVG, ...), or a folder of them",
    )
    command.add_argument(
        "--prompt", metavar="TEXT", help="how each caption is to begin"
    )
    command.add_argument(
        "--out", metavar="FILE", help="a table (CSV) for the captions, not a page"
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
    command = commands.add_parser(
        "memory",
        help="how much memory a model takes to train and to write with",
        description=(
            "Prints what weights, gradients, optimizer, activations and cache take on "
            "each device. Nothing is computed and no weight is drawn or loaded. On "
            "JAX the activations are those of the compiled step, on PyTorch the "
            "tensors that are alive together; TensorFlow cannot say them."
        ),
    )
    command.add_argument(
        "preset",
        metavar="PRESET",
        help="a name such as gpt3_175b, a folder, or hf://owner/name",
    )
    command.add_argument(
        "--devices",
        metavar="N",
        type=positive,
        default=1,
        help="devices that share weights, gradients and optimizer (%(default)s)",
    )
    command.add_argument(
        "--batch",
        metavar="N",
        type=positive,
        default=1,
        help="sequences or pictures on each device (%(default)s)",
    )
    command.add_argument(
        "--length",
        metavar="N",
        type=positive,
        help="tokens of a sequence (as many as the model takes)",
    )
    command.add_argument(
        "--dtype",
        metavar="POLICY",
        default="float32",
        help="Keras's dtype policy, such as bfloat16, mixed_bfloat16 (%(default)s)",
    )
    command.add_argument(
        "--optimizer", metavar="NAME", default="adam", help="(%(default)s)"
    )
    command.add_argument(
        "--remat",
        action="store_true",
        help="compute each block again in the backward pass, and keep less",
    )
    return parser


def positive(text):
    """The whole number from 1 that a text says."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(run())

"""`python -m keras_attention attend`: what a saved model reads, as a page.

What is shown follows from what a model owns: `caption`, an input of pictures,
`translate`, or a tokenizer and an input of token ids.
"""

import pathlib

import keras
import numpy as np

from keras_attention.commands.caption import SHOWN_SIDE
from keras_attention.images import ImageProcessor
from keras_attention.images import load_image
from keras_attention.tokenizers import Vocabulary
from keras_attention.tokenizers.vocabulary import SPECIAL_TOKENS
from keras_attention.visualization import attention_maps
from keras_attention.visualization import rollout
from keras_attention.visualization import show_alignment
from keras_attention.visualization import show_heads
from keras_attention.visualization import show_patches
from keras_attention.visualization import show_words
from keras_attention.visualization.heads import short_names
from keras_attention.visualization.patches import find_prefix
from keras_attention.visualization.patches import infer_grid
from keras_attention.visualization.view import writable


def main(options, parser):
    """Writes the page that shows what a model reads of a picture or of a text.

    Args:
        options: What the parser of `keras_attention.__main__` read.
        parser: That parser, for messages.
    """
    try:
        page = writable(options.page)
        model = load_model(options.model)
        if options.image is not None:
            view, said = see_image(model, options.image)
        else:
            view, said = see_text(model, options.text)
        path = view.save(page)
    except (ValueError, OSError, ImportError) as error:
        parser.error(str(error))
    print(f"{said}: {path}")


def load_model(path):
    """The model in a folder of `save_to_preset`, on a hub, or in a `.keras` file.

    Args:
        path: Name of the folder or of the file.

    Returns:
        A model.

    Raises:
        ValueError: There is none.
    """
    if not str(path).endswith(".keras"):
        from keras_attention.applications import from_preset

        return from_preset(str(path))
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise ValueError(
            f"there is no file {str(path)!r}. `model.save('name.keras')` writes one."
        )
    return keras.saving.load_model(file, compile=False)


def see_image(model, path):
    """What a model reads of a picture.

    Args:
        model: A model that describes pictures, or one with self-attention over the
            patches of a picture.
        path: A file with a picture.

    Returns:
        A `View`, and what to say about it.

    Raises:
        ValueError: The model takes no pictures, or has no attention over patches.
    """
    if hasattr(model, "caption"):
        return _see_caption(model, path)
    takes = [x for x in getattr(model, "inputs", None) or [] if len(x.shape) == 4]
    if len(takes) != 1 or len(model.inputs) != 1:
        raise ValueError(
            f"{_named(model)} takes no picture: its inputs are {_inputs_of(model)}. "
            "Expected one input (batch, height, width, 3). Try --text."
        )
    size = _image_size(model, takes[0])
    image = load_image(path, size)  # bytes
    processor = getattr(model, "image_processor", None)
    if processor is None:  # that of most models
        processor = ImageProcessor(mean=None, std=None)
    pictures = processor.normalize(image[None])
    maps = attention_maps(model, pictures, include_keras=True).of_kind("self")
    lengths = {each.weights.shape[-1] for each in maps.values()}
    if len(lengths) != 1:
        raise ValueError(
            f"{_named(model)} has no self-attention over one grid of patches: its "
            f"layers read {sorted(lengths) or 'no'} tokens. In Python, "
            "`attention_maps` gives the weights, and `show_windows` shows windows."
        )
    (length,) = lengths
    prefix = getattr(model, "num_prefix_tokens", None)
    if prefix is None:
        prefix = find_prefix(length, *size)
    rows = [("rollout", rollout(maps)[0])]
    layers = zip(short_names(list(maps)), maps.values(), strict=True)
    rows += [(name, each.weights[0].mean(axis=0)) for name, each in layers]
    # What the class token reads, or all tokens on average where there is none.
    scores = [weights[0] if prefix else weights.mean(axis=0) for _, weights in rows]
    view = show_patches(
        load_image(path, _sharp(size)),
        np.stack(scores),
        num_prefix_tokens=prefix,
        grid=infer_grid(length - prefix, *size),
        titles=[title for title, _ in rows],
    )
    reader = "the class token reads" if prefix else "all patches read"
    return view, f"What {reader} of the picture, in {len(maps)} layers"


def see_text(model, text):
    """What a model reads of a text.

    Args:
        model: A model that translates, or one with a tokenizer or a vocabulary and an
            input `token_ids`.
        text: A string.

    Returns:
        A `View`, and what to say about it.

    Raises:
        ValueError: The model takes no text, or not this one.
    """
    if hasattr(model, "translate"):
        return _see_translation(model, text)
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        tokenizer = getattr(model, "vocabulary", None)
    names = {x.name: x for x in getattr(model, "inputs", None) or []}
    if tokenizer is None or "token_ids" not in names:
        lacks = "input `token_ids`" if tokenizer is not None else "tokenizer"
        raise ValueError(
            f"{_named(model)} reads no text: it has no {lacks}, and its inputs are "
            f"{_inputs_of(model)}. Expected a model with a `tokenizer` or a "
            "`vocabulary`, and an input `token_ids`. Try --image."
        )
    token_ids = np.asarray(tokenizer.encode([text]), "int32")  # (1, T)
    is_token = np.ones_like(token_ids, "bool")
    length = names["token_ids"].shape[1]
    if length is not None:
        missing = length - token_ids.shape[1]
        if missing < 0:
            raise ValueError(
                f"{_named(model)} reads {length} tokens at most. Received: "
                f"{token_ids.shape[1]}. Shorten the text."
            )
        padding = getattr(tokenizer, "padding_id", 0)
        token_ids = np.pad(token_ids, ((0, 0), (0, missing)), constant_values=padding)
        is_token = np.pad(is_token, ((0, 0), (0, missing)))
    known = {
        "token_ids": token_ids,
        "padding_mask": is_token,
        "segment_ids": np.zeros_like(token_ids),
    }
    if names.keys() - known.keys():
        raise ValueError(
            f"{_named(model)} needs more than a text: its inputs are "
            f"{_inputs_of(model)}. Expected {', '.join(known)}, or some of them."
        )
    maps = attention_maps(model, _arranged(model, known), include_keras=True)
    labels = [_label(tokenizer, int(i)) for i in token_ids[0]]
    view = show_heads(maps, queries=labels, title=text)
    return view, f"What {len(labels)} tokens read in {len(maps)} layers"


def _see_caption(model, path):
    size = model.image_size
    if model.vocabulary is None:
        raise ValueError(
            f"{_named(model)} has no vocabulary, so it writes numbers instead of "
            "words. Train it with `vocabulary=...`."
        )
    if not model.decoder.has_attention:
        raise ValueError(
            f"{_named(model)} has no attention to show. ShowAttendTell has one."
        )
    image = load_image(path, size)
    captions, weights = model.caption(image[None], return_attention_scores=True)
    view = show_words(load_image(path, _sharp(size)), captions[0], weights[0])
    return view, f"Where it looked for each word of {captions[0]!r}"


def _see_translation(model, text):
    source, target = model.source_vocabulary, model.target_vocabulary
    if source is None or target is None:
        raise ValueError(
            f"{_named(model)} has no vocabularies, so it reads and writes numbers. "
            "Train it with `source_vocabulary=...` and `target_vocabulary=...`."
        )
    translations, weights = model.translate([text], return_attention_scores=True)
    if weights.ndim == 5:
        weights = weights.mean(axis=(0, 2))  # layers and heads
    keys = [_label(source, int(i)) for i in source.encode([text])[0]]
    written = [_written(target, int(i)) for i in target.encode(translations)[0]]
    # As the model wrote it, without what a vocabulary puts around a sentence.
    queries = [token for token in written if token][: weights.shape[1]]
    view = show_alignment(weights[0][: len(queries)], keys, queries)
    return view, f"What it read for each word of {translations[0]!r}"


def _written(tokenizer, token_id):
    """What one token adds to a text; nothing for what only marks a place."""
    if hasattr(tokenizer, "tokens"):
        return "".join(tokenizer.tokens([[token_id]])[0])
    return tokenizer.decode([[token_id]])[0]


def _label(tokenizer, token_id):
    """How one token is shown."""
    text = _written(tokenizer, token_id)
    if text:
        return text
    if isinstance(tokenizer, Vocabulary) and token_id < len(SPECIAL_TOKENS):
        return SPECIAL_TOKENS[token_id]
    return f"[{token_id}]"


def _arranged(model, arrays):
    """The arrays that the inputs of a model take, in its order."""
    if isinstance(model.input, dict):
        return {name: arrays[x.name] for name, x in model.input.items()}
    if len(model.inputs) == 1:
        return arrays[model.inputs[0].name]
    return [arrays[x.name] for x in model.inputs]


def _image_size(model, takes):
    _, height, width, channels = takes.shape
    if None in (height, width) or channels != 3:
        raise ValueError(
            f"{_named(model)} must say the size of its pictures, of three channels. "
            f"Received: {_inputs_of(model)}. Save it with a fixed size."
        )
    return height, width


def _sharp(size):
    """The size of a picture in the page: the same frame, but sharper."""
    factor = max(1, SHOWN_SIDE // max(size))
    return tuple(factor * side for side in size)


def _named(model):
    return f"the model {model.name!r}, {type(model).__name__},"


def _inputs_of(model):
    inputs = getattr(model, "inputs", None) or []
    return ", ".join(f"{x.name} {tuple(x.shape)}" for x in inputs) or "not known"

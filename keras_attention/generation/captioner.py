"""What models that describe pictures have in common: `caption`, a vocabulary, checks.

Letters: B pictures, K beams, T words of the longest caption, L steps of the search,
S cells of the grid of features (H rows, W columns), V vocabulary.
"""

import os
import pathlib
import types

import keras
import numpy as np

from keras_attention.generation.beam_search import beam_search
from keras_attention.generation.beam_search import check_search
from keras_attention.images.images import is_pillow
from keras_attention.images.images import load_image
from keras_attention.tokenizers.vocabulary import END_ID
from keras_attention.tokenizers.vocabulary import PAD_ID
from keras_attention.tokenizers.vocabulary import START_ID
from keras_attention.tokenizers.vocabulary import UNKNOWN_ID
from keras_attention.tokenizers.vocabulary import Vocabulary

VOCABULARY_FILE = "vocabulary.txt"


class Captioner:
    """Gives a model `caption`, and checks what it is trained on.

    Abstract: put it before `Application` among the bases of a class, and after
    `super().__init__(inputs, outputs)` set

    - `encoder`: model from pictures `(B, height, width, 3)` to a grid of features;
    - `decoder`: layer with `start`, `write` and `attention_weights`, such as
      `AttentionCaptionDecoder`;
    - `vocabulary`: `Vocabulary` or `None`;
    - `image_size`: height and width in pixels;
    - `max_length`: most words of a caption.
    """

    @property
    def _arguments(self):
        # The weights are saved with the model: no need to fetch them again.
        return {**self._arguments_passed, "encoder_weights": None}

    @_arguments.setter
    def _arguments(self, arguments):
        self._arguments_passed = arguments

    def caption(
        self,
        images,
        beam_width=3,
        max_length=None,
        return_log_probabilities=False,
        return_attention_scores=False,
        length_penalty=0.0,
        batch_size=32,
    ):
        """Describes pictures, each in the most probable words that a search finds.

        The search runs as one compiled function, for each new set of options compiled
        once. Nothing in the model changes.

        Args:
            images: A picture or several: paths, bytes or Pillow images of any size, or
                arrays `(height, width, 3)` or `(B, height, width, 3)` of the model's
                size, whole numbers from 0 to 255 or floats from 0 to 1.
            beam_width: How many captions of a picture are followed at a time. With 1
                the most probable next word is taken (greedy search).
            max_length: Most words of a caption. By default that of the model.
            return_log_probabilities: Also return how probable the captions are.
            return_attention_scores: Also return where the model looked for each word.
            length_penalty: 0 compares captions by their log-probability; more favours
                longer ones (see `beam_search`).
            batch_size: How many pictures are captioned at a time.

        Returns:
            List of B strings; without a vocabulary integers `(B, T)`, 0 after the end
            of a caption. If asked, the log-probabilities `(B,)`, the end of the caption
            included, and the weights `(B, T, H, W)`, 0 after the last word; as NumPy
            arrays, in a tuple, in this order. T is the number of words of the longest
            caption.

        Raises:
            ValueError: A picture or a number cannot be used, or attention was asked of
                a model without it.
        """
        if max_length is None:
            max_length = self.max_length
        check_search(beam_width, max_length, length_penalty)
        if return_attention_scores and not self.decoder.has_attention:
            raise ValueError(
                f"{type(self).__name__} has no attention to return. Leave out "
                "`return_attention_scores`, or use ShowAttendTell."
            )
        images = read_images(images, self.image_size)
        search = self._search(beam_width, max_length, length_penalty)
        outputs = predict_in_batches(search, images, batch_size)

        token_ids, log_probabilities, *weights = outputs
        words = np.where(np.isin(token_ids, (PAD_ID, END_ID)), PAD_ID, token_ids)
        longest = np.count_nonzero(words, axis=1).max()
        words = words[:, :longest]  # (B, T)
        captions = words if self.vocabulary is None else self.vocabulary.decode(words)
        results = [captions]
        if return_log_probabilities:
            results.append(log_probabilities)
        if return_attention_scores:
            rows, columns = self.encoder.output_shape[1:3]
            weights = weights[0][:, :longest] * (words != PAD_ID)[:, :, None]
            results.append(weights.reshape(*words.shape, rows, columns))
        return tuple(results) if len(results) > 1 else captions

    def _search(self, *options):
        """The compiled search with these options, made at the first call."""
        if not hasattr(self, "_searches"):
            # Not a dict: Keras would take its models for a part of this one.
            self._searches = types.SimpleNamespace(made={})
        if hasattr(self, "jax_state_sync"):
            self.jax_state_sync()  # within a callback, fit holds the newest weights
        made = self._searches.made
        if options not in made:
            made[options] = CaptionSearch(self, *options)
        return made[options]

    def fit(self, x=None, y=None, **kwargs):
        """Trains, as Keras does, after a look at the token ids."""
        self._check_arrays(x, y)
        return super().fit(x, y, **kwargs)

    def evaluate(self, x=None, y=None, **kwargs):
        """Evaluates, as Keras does, after a look at the token ids."""
        self._check_arrays(x, y)
        return super().evaluate(x, y, **kwargs)

    def predict(self, x, **kwargs):
        """Predicts, as Keras does, after a look at the token ids."""
        self._check_arrays(x)
        return super().predict(x, **kwargs)

    def _check_arrays(self, x, y=None):
        """Refuses token ids that are none, where they are arrays.

        Inside a compiled function they would silently be taken for others.
        """
        token_ids = x.get("token_ids") if isinstance(x, dict) else None
        for name, ids in (("token_ids", token_ids), ("y", y)):
            if isinstance(ids, np.ndarray):
                check_token_ids(ids, self.decoder.vocabulary_size, name)

    def save_assets(self, folder):
        """Writes the vocabulary to `vocabulary.txt`.

        Args:
            folder: An existing folder.
        """
        if self.vocabulary is not None:
            self.vocabulary.save(pathlib.Path(folder) / VOCABULARY_FILE)

    def load_assets(self, folder, config=None):
        """Reads the vocabulary, which must be that of the model.

        Args:
            folder: The folder with the files.
            config: What `config.json` holds, or None in a `.keras` file.
        """
        vocabulary = Vocabulary.load(pathlib.Path(folder) / VOCABULARY_FILE)
        if self.vocabulary is not None and vocabulary != self.vocabulary:
            raise ValueError(
                f"{VOCABULARY_FILE} in {folder} holds other words than the model was "
                "built with. Put the file back that `save_to_preset` wrote."
            )


class CaptionSearch(keras.Model):
    """The beam search of a captioner as a model, so that `predict` compiles it.

    From pictures to a list: the token ids `(B, L)` of the best caption, its
    log-probability `(B,)`, and, if the decoder has attention, the weights `(B, L, S)`.
    """

    def __init__(self, captioner, beam_width, max_length, length_penalty):
        super().__init__(name="caption_search")
        self.encoder, self.decoder = captioner.encoder, captioner.decoder
        self.options = {
            "beam_width": beam_width,
            "max_length": max_length,
            "length_penalty": length_penalty,
        }
        self.built = True  # of layers that are

    def call(self, images):
        picture, state = self.decoder.start(self.encoder(images, training=False))

        def step(token_ids, state):
            logits, state = self.decoder.write(picture, state, token_ids)
            return logits, state, self.decoder.attention_weights(state)

        token_ids, log_probabilities, weights = beam_search(
            step,
            state,
            start_id=START_ID,
            end_id=END_ID,
            padding_id=PAD_ID,
            forbidden_ids=(PAD_ID, START_ID, UNKNOWN_ID),
            **self.options,
        )
        outputs = [token_ids, log_probabilities]
        if weights is not None:
            outputs.append(weights)
        return [output[:, 0] for output in outputs]  # the best beam


def predict_in_batches(model, images, batch_size):
    """Predicts in batches of one size, so that few sizes are compiled.

    Args:
        model: A Keras model.
        images: `(B, ...)`.
        batch_size: Largest batch. Fewer rows are filled up to a power of two.

    Returns:
        What `model.predict` returns.
    """
    count = len(images)
    batch_size = min(batch_size, 1 << (count - 1).bit_length())
    missing = -count % batch_size
    images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
    outputs = model.predict(images, batch_size=batch_size, verbose=0)
    return keras.tree.map_structure(lambda x: x[:count], outputs)


def read_images(images, image_size):
    """Pictures from wherever they are, as the array that a captioner takes.

    Args:
        images: As for `Captioner.caption`.
        image_size: Height and width in pixels.

    Returns:
        uint8 array `(B, height, width, 3)`.
    """
    size = tuple(image_size)
    if _is_encoded(images):
        return load_image(images, size)[None]
    if isinstance(images, list | tuple) and images:
        if _is_encoded(images[0]) or hasattr(images[0], "shape"):
            return np.stack([_read_image(image, size) for image in images])
    try:
        images = np.asarray(
            images
            if isinstance(images, np.ndarray | list | tuple)
            else keras.ops.convert_to_numpy(images)
        )
    except (TypeError, ValueError):
        images = np.asarray(None)
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "`images` must be pictures: a path, a list of paths, or an array (height, "
            f"width, 3) or (B, height, width, 3). Received: {_describe(images)}"
        )
    return np.stack([_read_image(image, size) for image in images])


def _is_encoded(image):
    """Whether it is one picture in a file, in bytes or of Pillow."""
    return isinstance(image, str | os.PathLike | bytes) or is_pillow(image)


def _read_image(image, size):
    """One picture; an array must have the size already."""
    shape = getattr(image, "shape", None)
    if shape is not None and len(shape) == 3 and tuple(shape[:2]) != size:
        raise ValueError(
            f"This model takes pictures of {size[0]} x {size[1]} pixels. Received an "
            f"array of the shape {tuple(shape)}. Bring it to the size with "
            f"keras_attention.images.load_image(image, {size})."
        )
    return load_image(image, size)


def _describe(images):
    if images.dtype.kind in "uif":
        return f"an array of the shape {images.shape}"
    return f"values of type {images.dtype}"


def check_token_ids(token_ids, vocabulary_size, name="token_ids"):
    """Refuses an array that holds something else than token ids.

    Args:
        token_ids: A NumPy array.
        vocabulary_size: V.
        name: How the array is called in the message.

    Raises:
        ValueError: It does not hold integers from 0 to V - 1.
    """
    if token_ids.ndim != 2 or token_ids.dtype.kind not in "ui":
        raise ValueError(
            f"`{name}` must be token ids, integers (B, T). Received: shape "
            f"{token_ids.shape}, {token_ids.dtype}. `Vocabulary.encode` makes them "
            "from captions."
        )
    low, high = token_ids.min(initial=0), token_ids.max(initial=0)
    if low < 0 or high >= vocabulary_size:
        raise ValueError(
            f"`{name}` must be from 0 to {vocabulary_size - 1}, as the vocabulary has "
            f"{vocabulary_size} entries. Received: {low} to {high}. Encode the "
            "captions with the vocabulary that the model was built with."
        )


def captioner_vocabulary(vocabulary, vocabulary_size):
    """The vocabulary and its size, from either.

    Args:
        vocabulary: `Vocabulary`, list of words, or `None`.
        vocabulary_size: Integer, or `None`.

    Returns:
        `Vocabulary` or `None`, and an integer.

    Raises:
        ValueError: Both are missing, or they do not fit.
    """
    if vocabulary is None and vocabulary_size is None:
        raise ValueError(
            "Pass `vocabulary`, a Vocabulary or a list of words, or, for a model that "
            "reads and writes token ids, `vocabulary_size`."
        )
    if vocabulary is None:
        return None, vocabulary_size
    if not isinstance(vocabulary, Vocabulary):
        vocabulary = Vocabulary(vocabulary)
    if vocabulary_size not in (None, len(vocabulary)):
        raise ValueError(
            f"The vocabulary has {len(vocabulary)} entries, with the four special "
            f"tokens. Received: vocabulary_size={vocabulary_size}. Leave it out."
        )
    return vocabulary, len(vocabulary)

"""What models that describe pictures have in common: `caption`, a vocabulary, checks.

Letters: B pictures, T words of the longest caption, S cells of the grid of features
(H rows, W columns) or tokens of an encoder, N heads, V vocabulary.
"""

import os
import pathlib

import keras
import numpy as np

from keras_attention.generation.sentence_writer import SentenceWriter
from keras_attention.generation.sentences import check_ids
from keras_attention.generation.steps import RecurrentSteps
from keras_attention.images.images import is_pillow
from keras_attention.images.images import load_image

VOCABULARY_FILE = "vocabulary.txt"


class Captioner(SentenceWriter):
    """Gives a model `caption`, and checks what it is trained on.

    Abstract: put it before `Application` among the bases of a class, and after
    `super().__init__(inputs, outputs)` set

    - `encoder`: model from pictures `(B, height, width, 3)` to a grid of features;
    - `decoder`: layer with `start`, `write` and `attention_weights`, such as
      `AttentionCaptionDecoder`;
    - `vocabulary`: `Vocabulary`, another tokenizer, or `None`;
    - `vocabulary_size`: V;
    - `image_size`: height and width in pixels;
    - `max_length`: most words of a caption.

    A model that reads and goes on in another way overrides `make_steps`, `grid` and
    `read_images`. It may set what `Translator` may.
    """

    beam_width = 3

    @property
    def _arguments(self):
        # The weights are saved with the model: no need to fetch them again.
        fetched = self._arguments_passed.keys() & {"encoder_weights"}
        return {**self._arguments_passed, **dict.fromkeys(fetched)}

    @_arguments.setter
    def _arguments(self, arguments):
        self._arguments_passed = arguments

    def make_steps(self):
        """How this model begins and goes on: see `RecurrentSteps`."""
        # Convolutions: TensorFlow's kernels are faster than what XLA makes of them.
        return RecurrentSteps(self.start, self.decoder, use_xla=False)

    def start(self, images):
        """Looks at pictures, as the decoder's `write` needs it.

        Args:
            images: `(B, height, width, 3)`.

        Returns:
            What `decoder.write` needs of the pictures, and the first state.
        """
        return self.decoder.start(self.encoder(images, training=False))

    @property
    def grid(self):
        """The axes of what is looked at: `(H, W)`, or `(S,)` without a grid."""
        return tuple(self.encoder.output_shape[1:3])

    def read_images(self, images):
        """Pictures as the encoder takes them.

        Args:
            images: As for `caption`.

        Returns:
            Array `(B, height, width, 3)`.
        """
        return np.stack([_read_image(x, self.image_size) for x in pictures_of(images)])

    def caption(
        self,
        images,
        beam_width=None,
        max_length=None,
        return_log_probabilities=False,
        return_attention_scores=False,
        length_penalty=None,
        batch_size=32,
        sampler=None,
        min_new_tokens=0,
        stop=None,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        forbidden_ids=(),
        callback=None,
        prompt=None,
    ):
        """Describes pictures, each in the best words that a search finds.

        The search runs as one compiled function, for each new set of options compiled
        once. Nothing in the model changes.

        Args:
            images: A picture or several: paths, bytes or Pillow images of any size, or
                arrays `(height, width, 3)` or `(B, height, width, 3)` of the model's
                size, whole numbers from 0 to 255 or floats from 0 to 1.
            beam_width: How many captions of a picture are followed at a time, by
                default 3. With 1 the most probable next word is taken (greedy search).
            max_length: Most words of a caption. By default that of the model.
            return_log_probabilities: Also return how probable the captions are.
            return_attention_scores: Also return where the model looked for each word.
            length_penalty: 0 compares captions by their log-probability; more favours
                longer ones (see `beam_search`). By default that of the model, 0.
            batch_size: How many pictures are captioned at a time.
            sampler: What chooses the words in place of this search, without
                `beam_width` and `length_penalty`; see `TextGenerator.generate`.
            min_new_tokens, stop, repetition_penalty, no_repeat_ngram_size: What may
                follow; see `TextGenerator.generate`.
            forbidden_ids: Token ids that are never written, besides those of the model.
            callback: Called with the new part of each caption, each time some are
                written; see `TextGenerator.generate`. Needs `beam_width=1`.
            prompt: How each caption begins: a string, or a list of token ids, which
                count as words of it. Weights and log-probabilities are of what follows.

        Returns:
            List of B strings; without a vocabulary integers `(B, T)`, the padding id
            after the end of a caption. If asked, the log-probabilities `(B,)`, the end
            of the caption included, and the weights `(B, T, H, W)`, 0 after the last
            word; of a decoder with layers and heads `(num_layers, B, N, T, H, W)` or
            `(num_layers, B, N, T, S)`; as NumPy arrays, in a tuple, in this order. T is
            the number of words of the longest caption. With a sampler
            `BeamSearch(num_results=n)` lists of n, and an axis n behind B.

        Raises:
            ValueError: A picture or an option cannot be used, or attention was asked of
                a model without it.
        """
        if max_length is None:
            max_length = self.max_length
        sampler = self._read_search(
            sampler, beam_width, max_length, length_penalty, batch_size
        )
        captions, *more = self._write_sentences(
            {"images": self.read_images(images)},
            int(np.prod(self.grid)),
            self.vocabulary,
            self.vocabulary_size,
            max_length=max_length,
            batch_size=batch_size,
            sampler=sampler,
            callback=callback,
            return_log_probabilities=return_log_probabilities,
            return_attention_scores=return_attention_scores,
            min_new_tokens=min_new_tokens,
            stop=stop,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            forbidden_ids=forbidden_ids,
            prompt=prompt,
        )
        if return_attention_scores:
            more[-1] = more[-1].reshape(*more[-1].shape[:-1], *self.grid)
        return (captions, *more) if more else captions

    def _check_arrays(self, x, y=None):
        token_ids = x.get("token_ids") if isinstance(x, dict) else None
        for name, ids in (("token_ids", token_ids), ("y", y)):
            if isinstance(ids, np.ndarray):
                check_ids(ids, self.vocabulary_size, name)

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
        path = pathlib.Path(folder) / VOCABULARY_FILE
        # Not there where the model was given another than it was saved with.
        if self.vocabulary is None or not path.is_file():
            return
        if type(self.vocabulary).load(path) != self.vocabulary:
            raise ValueError(
                f"{VOCABULARY_FILE} in {folder} holds other words than the model was "
                "built with. Put the file back that `save_to_preset` wrote."
            )


def pictures_of(images):
    """The pictures in what `caption` received.

    Args:
        images: As for `Captioner.caption`.

    Returns:
        List of B paths, bytes, Pillow images or arrays `(height, width, channels)`.

    Raises:
        ValueError: They are no pictures.

    Example:

    >>> [picture.shape for picture in pictures_of(np.zeros((2, 5, 6, 3)))]
    [(5, 6, 3), (5, 6, 3)]
    """
    if _is_encoded(images):
        return [images]
    if isinstance(images, list | tuple) and images:
        if _is_encoded(images[0]) or hasattr(images[0], "shape"):
            return list(images)
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
    return list(images)


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

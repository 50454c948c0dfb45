"""Pictures and their captions for models that read ones and write the others.

Letters for axes: n pairs, B of them in a batch, T tokens of a caption.
"""

import os

import numpy as np

from keras_attention.images.images import is_pillow
from keras_attention.tasks.image_inputs import is_levels
from keras_attention.tasks.raw_inputs import RawInputs
from keras_attention.tasks.raw_inputs import read_strings
from keras_attention.tasks.written_texts import teacher_forced
from keras_attention.tokenizers.vocabulary import shorten


class CaptionInputs(RawInputs):
    """Lets `fit` and `evaluate` take pictures and their captions.

    Abstract: put it before `Captioner` among the bases of a class.

    `fit(pictures, captions)` takes two lists: pictures as for `caption`, and for each a
    string, or a list of several, all of which are learned. `fit(pairs)` takes a list of
    tuples, such as `data.load_captions` returns. Batches of a
    `keras.utils.PyDataset`, a `DataLoader` or a generator are `(pictures, captions)`. A
    picture is read when its batch is needed. A caption has the model's `start_id`
    before and its `end_id` behind it, and each of its tokens is predicted from the
    picture and the true tokens before it; padding has the weight 0.
    """

    longest_input = None  # `max_length` is what is written at most

    def read_raw(self, x):
        """The pictures, or pairs, in what `fit` received; see `RawInputs.read_raw`."""
        x = read_strings(x)
        if is_levels(x) and len(x.shape) == 4:
            x = list(np.asarray(x))
        is_list = isinstance(x, list | tuple)
        if not is_list or not all(_is_picture(each) or _is_pair(each) for each in x):
            return None
        if self.vocabulary is None:
            raise ValueError(
                f"This {type(self).__name__} has no vocabulary, so it learns from "
                "dicts of arrays. Received pictures. Build it with one, or encode the "
                "captions."
            )
        return list(x)

    def take_labels(self, examples, labels):
        """A pair for each caption, twice: captions are read, and learned from."""
        if labels is not None:
            if any(map(_is_pair, examples)):
                raise ValueError(
                    "Each picture has its captions. Received pairs of pictures and "
                    "captions, and labels besides. Leave the labels out."
                )
            if len(labels) != len(examples):
                raise ValueError(
                    "Each picture needs a caption, or a list of them. Received: "
                    f"{len(examples)} pictures and {len(labels)} captions."
                )
            examples = list(zip(examples, labels, strict=True))
        self._check_pairs(examples)
        pairs = []
        for i, (picture, captions) in enumerate(examples):
            captions = [captions] if isinstance(captions, str) else captions
            is_list = isinstance(captions, list | tuple) and len(captions) > 0
            if not is_list or not all(isinstance(each, str) for each in captions):
                raise ValueError(
                    "A caption is a string, or a list of some for one picture. "
                    f"Received: {shorten(captions)} at position {i}."
                )
            pairs.extend((picture, caption) for caption in captions)
        return pairs, pairs

    def _check_pairs(self, examples):
        if not all(map(_is_pair, examples)):
            raise ValueError(
                "Each picture needs the caption that is read and learned with it. "
                "Received pictures alone. Pass fit(pictures, captions), or pairs; "
                "`caption` writes captions."
            )

    def read_labels(self, labels, examples):
        """The pairs as they are."""
        return labels

    def raw_lengths(self, examples):
        """The number of tokens that are read of each caption, `(n,)`."""
        self._check_pairs(examples)
        lengths = np.array([len(ids) + 1 for ids in self._token_ids(examples)])
        most = self.longest_input
        if most is not None and lengths.max() > most:
            i = int(np.argmax(lengths > most))
            raise ValueError(
                f"Caption {i} needs {lengths[i]} tokens, and this model reads at most "
                f"{most}: {shorten(examples[i][1])}. Cut it, or leave it out."
            )
        return lengths

    def prepare(self, examples, length=None):
        """Dict with `images` `(B, height, width, 3)` and `token_ids` `(B, T)`."""
        return self.prepare_to_learn(examples, examples, length)[0]

    def prepare_to_learn(self, examples, labels, length=None, seed=None):
        """The inputs, the next token of each caption, and 1 for what is no padding."""
        images = self.read_images([picture for picture, _ in examples])
        rows = [
            ([self.start_id, *ids, self.end_id], [True] * (len(ids) + 2))
            for ids in self._token_ids(examples)
        ]
        token_ids, targets, weights, _ = teacher_forced(rows, length, self.padding_id)
        return {"images": images, "token_ids": token_ids}, targets, weights

    def _token_ids(self, examples):
        return self.vocabulary.token_id_lists([caption for _, caption in examples])


def _is_picture(x):
    is_file = isinstance(x, str | bytes | os.PathLike) or is_pillow(x)
    return is_file or len(getattr(x, "shape", ())) in (2, 3)


def _is_pair(x):
    return isinstance(x, tuple) and len(x) == 2 and _is_picture(x[0])

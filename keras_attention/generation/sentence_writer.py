"""What models share that write whole sentences about something they read.

Letters: B sources, n sentences that come out for each, T tokens of the longest
sentence, S tokens or cells of a source.
"""

import functools

import keras
import numpy as np

from keras_attention.checks import check_positive
from keras_attention.generation.beam_search import check_search
from keras_attention.generation.options import read_options
from keras_attention.generation.options import TokenIds
from keras_attention.generation.results import collect
from keras_attention.generation.samplers import BeamSearch
from keras_attention.generation.sentences import check_ids
from keras_attention.generation.stream import Stream
from keras_attention.generation.stream import with_prompt
from keras_attention.generation.writer import WritingModel
from keras_attention.tokenizers.vocabulary import END_ID
from keras_attention.tokenizers.vocabulary import PAD_ID
from keras_attention.tokenizers.vocabulary import START_ID
from keras_attention.tokenizers.vocabulary import UNKNOWN_ID


class SentenceWriter(WritingModel):
    """Writes sentences, each from its start to its end, and checks token ids.

    Abstract: `Translator` and `Captioner` derive from it. A subclass has `make_steps`
    and `_check_arrays(x, y)`, which refuses what are no token ids before the model is
    trained on them: inside a compiled function they would silently be taken for others.
    """

    start_id, end_id, padding_id = START_ID, END_ID, PAD_ID
    forbidden_ids = (PAD_ID, START_ID, UNKNOWN_ID)
    beam_width = 4
    length_penalty = 0.0

    @functools.wraps(keras.Model.fit, assigned=())
    def fit(self, x=None, y=None, *args, **kwargs):
        """Trains, as Keras does, after a look at the token ids."""
        self._check_arrays(x, y)
        return super().fit(x, y, *args, **kwargs)

    @functools.wraps(keras.Model.evaluate, assigned=())
    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Evaluates, as Keras does, after a look at the token ids."""
        self._check_arrays(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    @functools.wraps(keras.Model.predict, assigned=())
    def predict(self, x, *args, **kwargs):
        """Predicts, as Keras does, after a look at the token ids."""
        self._check_arrays(x)
        return super().predict(x, *args, **kwargs)

    def _check_arrays(self, x, y=None):
        raise NotImplementedError

    def _read_search(self, sampler, beam_width, max_length, length_penalty, batch_size):
        """The sampler: the search that was asked for, or what stands in its place."""
        given = {"beam_width": beam_width, "length_penalty": length_penalty}
        given = {name: value for name, value in given.items() if value is not None}
        if sampler is not None and given:
            raise ValueError(
                "`sampler` stands in place of the beam search. Received both: sampler="
                f"{sampler!r} and {', '.join(f'{k}={v}' for k, v in given.items())}. "
                "Leave one out, or pass sampler=BeamSearch(beam_width, length_penalty)."
            )
        search = {
            "beam_width": self.beam_width,
            "length_penalty": self.length_penalty,
            **given,
        }
        check_search(search["beam_width"], max_length, search["length_penalty"])
        check_positive(batch_size=batch_size)
        return BeamSearch(**search) if sampler is None else sampler

    def _write_sentences(
        self,
        inputs,
        size,
        vocabulary,
        vocabulary_size,
        *,
        max_length,
        batch_size,
        sampler,
        callback,
        return_log_probabilities,
        return_attention_scores,
        prompt=None,
        **constraints,
    ):
        """Writes a sentence for each of B sources.

        Args:
            inputs: Dict of arrays with B rows, what the steps take.
            size: S of the weights.
            vocabulary: What decodes, or `None`.
            vocabulary_size: Its size.
            max_length, batch_size, callback: As for `Translator.translate`.
            sampler: Who chooses.
            return_log_probabilities: Also return how probable the sentences are.
            return_attention_scores: Also return what was read.
            prompt: How all sentences begin, a string, token ids, or `None`.
            **constraints: What may follow; see `read_options`.

        Returns:
            List of what was asked for: the sentences first; see `collect`.
        """
        if return_attention_scores and not self.writer.steps.has_attention:
            raise ValueError(
                f"{type(self).__name__} has no attention to return. Leave out "
                "`return_attention_scores`, or use a model with attention, such as "
                "AttentionSeq2Seq or ShowAttendTell."
            )
        asked = {
            "return_log_probabilities": return_log_probabilities,
            "return_attention_scores": return_attention_scores,
        }
        options = read_options(
            TokenIds(
                vocabulary_size,
                (self.end_id,),
                self.padding_id,
                tuple(self.forbidden_ids),
                must_end=True,
            ),
            sampler,
            has_text=vocabulary is not None,
            callback=callback,
            **constraints,
            **asked,
        )
        (count,) = {len(array) for array in inputs.values()}
        stream = Stream(
            count,
            options.rules,
            vocabulary and (lambda token_ids: vocabulary.decode([token_ids])[0]),
            options.stop_texts,
            callback,
        )
        begun = self._read_prompt(prompt, vocabulary, vocabulary_size, max_length)
        if begun:
            first = np.array([[self.start_id, *begun]], "int32")
            inputs = {**inputs, "prompt": np.repeat(first, count, axis=0)}
        slots = max_length + 1  # for the end, or for the start of a prompt
        written = self.writer.write(
            lambda numbers: (
                {k: x[numbers] for k, x in inputs.items()},
                slots + bool(begun),
            ),
            np.zeros(count),
            slots - len(begun),
            options,
            batch_size=batch_size,
            stream=stream,
        )
        texts = [
            [self._whole(begun, new, stream.read(new), vocabulary) for new in some]
            for some in (each.token_ids for each in written)
        ]
        return collect(texts, written, options, lengths=[size], **asked)

    def _read_prompt(self, prompt, vocabulary, vocabulary_size, max_length):
        """The token ids with which a sentence begins, a list."""
        if prompt is None:
            return []
        if isinstance(prompt, str):
            if vocabulary is None:
                raise ValueError(
                    f"This {type(self).__name__} has no vocabulary. Received prompt="
                    f"{prompt!r}. Pass token ids."
                )
            (ids,) = vocabulary.token_id_lists([prompt])
        else:
            ids = np.asarray(prompt)
            if ids.ndim != 1 or ids.dtype.kind not in "ui":
                raise ValueError(
                    "`prompt` must be a string, or a list of token ids. Received: "
                    f"{prompt!r}"
                )
            check_ids(ids[None], vocabulary_size, "prompt")
        ids = [int(i) for i in ids]
        if not ids or len(ids) >= max_length:
            raise ValueError(
                f"`prompt` must have from 1 to {max_length - 1} tokens, as a sentence "
                f"has {max_length} at most. Received: {prompt!r}, {len(ids)} tokens. "
                "Shorten it, or raise `max_length`."
            )
        return ids

    def _whole(self, begun, new, text, vocabulary):
        """A sentence with its prompt."""
        if not begun:
            return text
        if vocabulary is None:
            return [*begun, *new]
        return with_prompt(lambda ids: vocabulary.decode([ids])[0], begun, new, text)

"""What models that translate have in common: `translate`, two vocabularies, checks.

Letters: B sentences, K beams, S tokens of the longest sentence, T tokens of the
longest translation, L steps of the search, V vocabulary.
"""

import pathlib
import types

import keras
import numpy as np

from keras_attention.backend.programs import Loop
from keras_attention.backend.programs import Program
from keras_attention.generation.beam_search import check_search
from keras_attention.generation.decode import begin_loop
from keras_attention.generation.decode import is_open
from keras_attention.generation.decode import read_loop
from keras_attention.generation.decode import repeat_beams
from keras_attention.generation.decode import Rules
from keras_attention.generation.decode import take_step
from keras_attention.generation.samplers import BeamSearch
from keras_attention.tokenizers.vocabulary import END_ID
from keras_attention.tokenizers.vocabulary import PAD_ID
from keras_attention.tokenizers.vocabulary import START_ID
from keras_attention.tokenizers.vocabulary import UNKNOWN_ID
from keras_attention.tokenizers.vocabulary import Vocabulary

SOURCE_FILE = "source_vocabulary.txt"
TARGET_FILE = "target_vocabulary.txt"

# Sentences are filled up to a multiple of this, so that few lengths are compiled.
LENGTH_STEP = 8


class Translator:
    """Gives a model `translate`, and checks what it is trained on.

    Abstract: put it before `Application` among the bases of a class, whose inputs are
    `encoder_token_ids` `(B, S)` and `decoder_token_ids` `(B, T)`, and after
    `super().__init__(inputs, outputs)` set

    - `encoder` and `decoder`: layers, of which `decoder` has `write` and
      `attention_weights`, such as `BahdanauDecoder`;
    - `source_vocabulary`, `target_vocabulary`: `Vocabulary` or `None`;
    - `vocabulary_sizes`: both sizes, that of the source first;
    - `max_length`: most tokens of a translation.

    It must have `start(encoder_token_ids)`, which reads the sentences and returns what
    `decoder.write` needs of them, and the first state. A model that goes on in another
    way overrides `begin_search` and `write_token`.

    It may set `start_id`, `end_id`, `padding_id`, and `forbidden_ids`, which are never
    written: by default those of `Vocabulary`.
    """

    start_id, end_id, padding_id = START_ID, END_ID, PAD_ID
    forbidden_ids = (PAD_ID, START_ID, UNKNOWN_ID)

    def translate(
        self,
        sentences,
        beam_width=4,
        max_length=None,
        return_log_probabilities=False,
        return_attention_scores=False,
        length_penalty=0.0,
        batch_size=32,
    ):
        """Translates sentences, each into the most probable one that a search finds.

        The search runs as one compiled function, for each new set of options compiled
        once. Nothing in the model changes.

        Args:
            sentences: List of strings; for a model without a source vocabulary, or
                where they are encoded already, integers `(B, S)` or lists of integers.
            beam_width: How many translations of a sentence are followed at a time.
                With 1 the most probable next token is taken (greedy search).
            max_length: Most tokens of a translation. By default that of the model.
            return_log_probabilities: Also return how probable the translations are.
            return_attention_scores: Also return what the model read for each token.
            length_penalty: 0 compares translations by their log-probability; more
                favours longer ones (see `beam_search`).
            batch_size: How many sentences are translated at a time.

        Returns:
            List of B strings; without a target vocabulary integers `(B, T)`, 0 after
            the end. If asked, the log-probabilities `(B,)`, the end included, and the
            weights `(B, T, S)`, 0 after the last token, where S counts all tokens of
            the source, also those that a vocabulary puts around it; as NumPy arrays, in
            a tuple, in this order.

        Raises:
            ValueError: A sentence or a number cannot be used, or attention was asked of
                a model without it.
        """
        if max_length is None:
            max_length = self.max_length
        check_search(beam_width, max_length, length_penalty)
        check_batch_size(batch_size)
        if return_attention_scores and not self.decoder.has_attention:
            raise ValueError(
                f"{type(self).__name__} has no attention to return. Leave out "
                "`return_attention_scores`, or use AttentionSeq2Seq."
            )
        source_ids = read_sentences(
            sentences,
            self.source_vocabulary,
            self.vocabulary_sizes[0],
            self.padding_id,
        )
        length = source_ids.shape[1]
        missing = -length % LENGTH_STEP
        padded = np.pad(
            source_ids, ((0, 0), (0, missing)), constant_values=self.padding_id
        )
        search = self._search(
            beam_width,
            max_length,
            length_penalty,
            return_log_probabilities,
            return_attention_scores,
        )
        outputs = run_in_batches(search, padded, batch_size)

        token_ids, log_probabilities, *weights = outputs
        words = np.where(
            np.isin(token_ids, (self.padding_id, self.end_id)),
            self.padding_id,
            token_ids,
        )
        is_word = words != self.padding_id
        longest = is_word.sum(axis=1).max()
        words, is_word = words[:, :longest], is_word[:, :longest]  # (B, T)
        translations = words
        if self.target_vocabulary is not None:
            translations = self.target_vocabulary.decode(words)
        results = [translations]
        if return_log_probabilities:
            results.append(log_probabilities)
        if return_attention_scores:
            weights = weights[0][:, :longest, ..., :length]
            axes = (1,) * (weights.ndim - 2)
            results.append(weights * is_word.reshape(*is_word.shape, *axes))
        return tuple(results) if len(results) > 1 else translations

    def begin_search(self, encoder_token_ids, max_length, beam_width):
        """Reads the sentences, for `write_token`.

        Args:
            encoder_token_ids: `(B, S)`, integers.
            max_length: Most tokens that are written, the end included.
            beam_width: K.

        Returns:
            What `write_token` needs of the sentences, and the first state of K
            translations of each.
        """
        source, state = self.start(encoder_token_ids)
        return source, repeat_beams(state, beam_width)

    def write_token(self, source, state, token_ids, return_attention_scores):
        """Goes on by one token in each of K translations of a sentence.

        Args:
            source: From `begin_search`.
            state: From `begin_search` or from this function.
            token_ids: `(B, K)`, the tokens before.
            return_attention_scores: Whether to return what they read.

        Returns:
            Logits `(B, K, V)`, the next state, and weights `(B, K, ...)` or `None`.
        """
        logits, state = self.decoder.write(source, state, token_ids)
        if not return_attention_scores:
            return logits, state, None
        return logits, state, self.decoder.attention_weights(state)

    @property
    def num_compilations(self):
        """How many programs `translate` has compiled for this model."""
        made = getattr(self, "_searches", None)
        searches = [] if made is None else made.made.values()
        return sum(p.num_compilations for _, programs in searches for p in programs)

    def _search(
        self,
        beam_width,
        max_length,
        length_penalty,
        return_log_probabilities,
        return_attention_scores,
    ):
        """The compiled search with these options, made at the first call."""
        options = (
            beam_width,
            max_length,
            length_penalty,
            beam_width > 1 or bool(return_log_probabilities),  # beams need them
            bool(return_attention_scores),
        )
        if not hasattr(self, "_searches"):
            # Not a dict: Keras would take what is in it for a part of this model.
            self._searches = types.SimpleNamespace(made={})
        if hasattr(self, "jax_state_sync"):
            self.jax_state_sync()  # within a callback, fit holds the newest weights
        key = (*options, tuple(map(id, self.variables)))
        made = self._searches.made
        if key not in made:
            made[key] = self._make_search(*options)
        return made[key][0]

    def _make_search(
        self, beam_width, max_length, length_penalty, with_log_p, with_weights
    ):
        """Compiles a search: a function of token ids `(B, S)`, and its programs.

        It returns the token ids `(B, L)` of the best translations, their
        log-probabilities `(B,)`, zeros if not asked, and, if asked, the weights
        `(B, L, ..., S)`.
        """
        length = max_length + 1
        sampler = BeamSearch(beam_width, length_penalty)
        rules = Rules(
            end_ids=(self.end_id,),
            padding_id=self.padding_id,
            forbidden_ids=tuple(self.forbidden_ids),
            must_end=True,
            with_log_probabilities=with_log_p,
        )

        def step_with(source):
            return lambda token_ids, state: self.write_token(
                source, state, token_ids, with_weights
            )

        def begin(encoder_token_ids):
            source, state = self.begin_search(encoder_token_ids, length, beam_width)
            batch_size = encoder_token_ids.shape[0]
            loop = begin_loop(state, batch_size, sampler, length, self.start_id)
            if with_weights:  # only a step tells their shape
                loop = take_step(0, loop, step_with(source), sampler, rules, length)
            return source, loop

        def go_on(slot, loop, source, last):
            return take_step(slot, loop, step_with(source), sampler, rules, last)

        begin = Program(begin, self.variables)
        go_on = Loop(is_open, go_on, self.variables)

        def search(encoder_token_ids):
            source, loop = begin(encoder_token_ids)
            _, loop = go_on(int(with_weights), length, length, loop, source)
            outputs = read_loop(loop, rules)
            return [output[:, 0] for output in outputs if output is not None]

        return search, (begin, go_on)

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
        x = x if isinstance(x, dict) else {}
        source_size, target_size = self.vocabulary_sizes
        arrays = {
            "encoder_token_ids": (x.get("encoder_token_ids"), source_size),
            "decoder_token_ids": (x.get("decoder_token_ids"), target_size),
            "y": (y, target_size),
        }
        arrays = {k: v for k, v in arrays.items() if isinstance(v[0], np.ndarray)}
        for name, (token_ids, size) in arrays.items():
            check_ids(token_ids, size, name)
        counts = {name: len(token_ids) for name, (token_ids, _) in arrays.items()}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{count} of {name}" for name, count in counts.items())
            raise ValueError(
                f"Source and target must have as many rows. Received: {found}. Pass a "
                "target for each source."
            )

    def save_assets(self, folder):
        """Writes the vocabularies, `source_vocabulary.txt` and `target_vocabulary.txt`.

        Args:
            folder: An existing folder.
        """
        for name, vocabulary in self._vocabulary_files().items():
            vocabulary.save(pathlib.Path(folder) / name)

    def load_assets(self, folder, config=None):
        """Reads the vocabularies, which must be those of the model.

        Args:
            folder: The folder with the files.
            config: What `config.json` holds, or None in a `.keras` file.
        """
        for name, vocabulary in self._vocabulary_files().items():
            path = pathlib.Path(folder) / name
            # Not there where the model was given another than it was saved with.
            if path.is_file() and type(vocabulary).load(path) != vocabulary:
                raise ValueError(
                    f"{name} in {folder} holds other words than the model was built "
                    "with. Put the file back that `save_to_preset` wrote."
                )

    def _vocabulary_files(self):
        files = {
            SOURCE_FILE: self.source_vocabulary,
            TARGET_FILE: self.target_vocabulary,
        }
        return {name: v for name, v in files.items() if v is not None}


def run_in_batches(program, token_ids, batch_size):
    """Runs a program on rows in batches of one size, so that few sizes are compiled.

    Args:
        program: A `Program` that returns a list of tensors.
        token_ids: `(B, S)`.
        batch_size: Largest batch. Fewer rows are filled up to a power of two.

    Returns:
        List of NumPy arrays with B rows.
    """
    count = len(token_ids)
    batch_size = min(batch_size, 1 << (count - 1).bit_length())
    missing = -count % batch_size
    token_ids = np.concatenate([token_ids, np.repeat(token_ids[-1:], missing, axis=0)])
    batches = []
    for begin in range(0, len(token_ids), batch_size):
        rows = keras.ops.convert_to_tensor(token_ids[begin : begin + batch_size])
        outputs = program(rows)
        batches.append([keras.ops.convert_to_numpy(output) for output in outputs])
    return [np.concatenate(parts)[:count] for parts in zip(*batches, strict=True)]


def read_sentences(sentences, vocabulary, vocabulary_size, padding_id=PAD_ID):
    """The token ids of sentences, as the encoder takes them.

    Args:
        sentences: As for `Translator.translate`.
        vocabulary: That of the source, or `None`.
        vocabulary_size: V of the source.
        padding_id: Token id of the padding.

    Returns:
        int32 array `(B, S)`.

    Raises:
        ValueError: They are no sentences, one is empty, or a token id is out of range.
    """
    if isinstance(sentences, str):
        raise ValueError(
            f"`sentences` must be a list. Received the string {sentences!r}. Put one "
            "sentence in a list: [sentence]."
        )
    if not len(sentences):
        raise ValueError("`sentences` must hold at least one sentence. Received none.")
    if isinstance(sentences[0], str):
        return _encode(sentences, vocabulary)
    rows = [np.asarray(keras.ops.convert_to_numpy(row)) for row in sentences]
    if any(row.ndim != 1 or (row.size and row.dtype.kind not in "ui") for row in rows):
        raise ValueError(
            "`sentences` must be strings, or token ids, integers (B, S). Received rows "
            f"of the shape {rows[0].shape}, {rows[0].dtype}."
        )
    token_ids = np.full((len(rows), max(map(len, rows))), padding_id, "int32")
    for i, row in enumerate(rows):
        if not np.any(row != padding_id):
            raise ValueError(
                f"Sentence {i} has no token but padding. Leave it out. Received: "
                f"{row.tolist()}"
            )
        token_ids[i, : len(row)] = row
    check_ids(token_ids, vocabulary_size, "sentences")
    return token_ids


def _encode(sentences, vocabulary):
    if vocabulary is None:
        raise ValueError(
            "This model has no source vocabulary, so it reads token ids, integers "
            f"(B, S). Received strings, such as {sentences[0]!r}. Build the model with "
            "`source_vocabulary`, or encode the sentences."
        )
    for i, sentence in enumerate(sentences):
        if not isinstance(sentence, str) or not sentence.strip():
            raise ValueError(
                "Each sentence must be a string with a word in it. Received: "
                f"{sentence!r} as sentence {i}. Leave it out."
            )
    return np.asarray(vocabulary.encode(list(sentences)), "int32")


def check_ids(token_ids, vocabulary_size, name):
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
            f"`{name}` must be token ids, integers with two axes. Received: shape "
            f"{token_ids.shape}, {token_ids.dtype}. `Vocabulary.encode` makes them "
            "from sentences."
        )
    low, high = token_ids.min(initial=0), token_ids.max(initial=0)
    if low < 0 or high >= vocabulary_size:
        raise ValueError(
            f"`{name}` must be from 0 to {vocabulary_size - 1}, as its vocabulary has "
            f"{vocabulary_size} entries. Received: {low} to {high}. Encode the "
            "sentences with the vocabulary that the model was built with."
        )


def check_batch_size(batch_size):
    """Refuses a batch that holds nothing."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int):
        batch_size = 0
    if batch_size < 1:
        raise ValueError("`batch_size` must be a positive integer.")


def sized_vocabulary(name, vocabulary, vocabulary_size):
    """A vocabulary and its size, from either.

    Args:
        name: `"source"` or `"target"`.
        vocabulary: `Vocabulary` or another tokenizer, list of words, or `None`.
        vocabulary_size: Integer, or `None`.

    Returns:
        The vocabulary or `None`, and an integer.

    Raises:
        ValueError: Both are missing, or they do not fit.

    Example:

    >>> sized_vocabulary("source", ["cat", "dog"], None)[1]
    6
    """
    if vocabulary is None and vocabulary_size is None:
        raise ValueError(
            f"Pass `{name}_vocabulary`, a Vocabulary or a list of words, or, for a "
            f"model that reads and writes token ids, `{name}_vocabulary_size`."
        )
    if vocabulary is None:
        return None, vocabulary_size
    if not hasattr(vocabulary, "encode") or isinstance(vocabulary, str):
        vocabulary = Vocabulary(vocabulary)
    if vocabulary_size not in (None, len(vocabulary)):
        raise ValueError(
            f"The {name} vocabulary has {len(vocabulary)} entries, special tokens "
            f"included. Received: {name}_vocabulary_size={vocabulary_size}. Leave it "
            "out."
        )
    return vocabulary, len(vocabulary)

"""What models that translate have in common: `translate`, two vocabularies, checks.

Letters: B sentences, S tokens of the longest sentence, T tokens of the longest
translation, N heads.
"""

import pathlib

import numpy as np

from keras_attention.generation.sentence_writer import SentenceWriter
from keras_attention.generation.sentences import check_ids
from keras_attention.generation.sentences import read_sentences
from keras_attention.generation.steps import RecurrentSteps

SOURCE_FILE = "source_vocabulary.txt"
TARGET_FILE = "target_vocabulary.txt"

# Sentences are filled up to a multiple of this, so that few lengths are compiled.
LENGTH_STEP = 8


class Translator(SentenceWriter):
    """Gives a model `translate`, and checks what it is trained on.

    Abstract: put it before `Application` among the bases of a class, whose inputs are
    `encoder_token_ids` `(B, S)` and `decoder_token_ids` `(B, T)`, and after
    `super().__init__(inputs, outputs)` set

    - `decoder`: a layer with `write` and `attention_weights`, such as
      `BahdanauDecoder`;
    - `source_vocabulary`, `target_vocabulary`: `Vocabulary`, another tokenizer, or
      `None`;
    - `vocabulary_sizes`: both sizes, that of the source first;
    - `max_length`: most tokens of a translation.

    It must have `start(encoder_token_ids)`, which reads the sentences and returns what
    `decoder.write` needs of them, and the first state. A model that goes on in another
    way overrides `make_steps`.

    It may set `length_penalty`, that of its searches (0), `start_id`, `end_id`,
    `padding_id`, and `forbidden_ids`, which are never written: by default those of
    `Vocabulary`.
    """

    def make_steps(self):
        """How this model begins and goes on: see `RecurrentSteps`."""
        return RecurrentSteps(self.start, self.decoder)

    def translate(
        self,
        sentences,
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
    ):
        """Translates sentences, each into the best one that a search finds.

        The search runs as one compiled function, for each new set of options compiled
        once. Nothing in the model changes.

        Translations are compared by log p / ((5 + n) / 6)^length_penalty with n tokens,
        the end included. The library transformers compares log p / n^length_penalty;
        at 0 both compare log p. Moreover, a translation that has ended stays one of the
        beams here, where transformers keeps it aside and follows as many others.

        Args:
            sentences: List of B strings; for a model without a source vocabulary, or
                where they are encoded already, integers `(B, S)` or lists of integers.
            beam_width: How many translations of a sentence are followed at a time, by
                default 4. With 1 the most probable next token is taken (greedy search).
            max_length: Most tokens of a translation, without its end. By default that
                of the model.
            return_log_probabilities: Also return how probable the translations are.
            return_attention_scores: Also return what the model read for each token.
            length_penalty: 0 compares translations by their log-probability; more
                favours longer ones. By default that of the model.
            batch_size: How many sentences are translated at a time.
            sampler: What chooses the tokens in place of this search, without
                `beam_width` and `length_penalty`; see `TextGenerator.generate`.
            min_new_tokens, stop, repetition_penalty, no_repeat_ngram_size: What may
                follow; see `TextGenerator.generate`.
            forbidden_ids: Token ids that are never written, besides those of the model.
            callback: Called with the new part of each translation, each time some are
                written; see `TextGenerator.generate`. Needs `beam_width=1`.

        Returns:
            List of B strings; without a target vocabulary integers `(B, T)`, the
            padding id after the end. If asked, in a tuple, in this order:
            log-probabilities `(B,)`, the end included; and weights `(B, T, S)`, of a
            decoder with layers and heads `(num_layers, B, N, T, S)` of its
            cross-attention, as `show_heads` takes them, 0 after the last token. S
            counts all tokens of the source, also those that a vocabulary puts around
            it. With a sampler `BeamSearch(num_results=n)` lists of n, and an axis n
            behind B.

        Raises:
            ValueError: A sentence or an option cannot be used, or attention was asked
                of a model without it.
        """
        source_ids = read_sentences(sentences, self.source_vocabulary, self.padding_id)
        self._check_arrays({"encoder_token_ids": source_ids})
        length = source_ids.shape[1]
        missing = -length % LENGTH_STEP
        if max_length is None:
            max_length = self._longest_translation(length + missing)
        sampler = self._read_search(
            sampler, beam_width, max_length, length_penalty, batch_size
        )
        self._check_length(max_length)
        source_ids = np.pad(
            source_ids.astype("int32"),
            ((0, 0), (0, missing)),
            constant_values=self.padding_id,
        )
        translations, *more = self._write_sentences(
            {"encoder_token_ids": source_ids},
            length,
            self.target_vocabulary,
            self.vocabulary_sizes[1],
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
        )
        return (translations, *more) if more else translations

    def _longest_translation(self, length):
        """Most tokens of translations of sources with so many tokens."""
        return self.max_length

    def _check_length(self, max_length):
        """Refuses what is longer than the model can write."""

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

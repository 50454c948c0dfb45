"""What models that continue a text have in common: `generate` and `perplexity`.

Letters: B prompts, P slots of the prompts, S slots with what is written, L new tokens,
D width of a token, V vocabulary, N heads.
"""

import functools

import keras
import numpy as np
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.generation.options import read_options
from keras_attention.generation.options import TokenIds
from keras_attention.generation.perplexity import cut_windows
from keras_attention.generation.perplexity import Scorer
from keras_attention.generation.results import collect
from keras_attention.generation.steps import CachedSteps
from keras_attention.generation.stream import Stream
from keras_attention.generation.stream import with_prompt
from keras_attention.generation.writer import WritingModel

# Lengths are filled up to these, so that few are compiled: prompts to a power of two,
# all slots to a multiple.
SMALLEST_BUCKET = 16
SLOT_STEP = 64


class TextGenerator(WritingModel):
    """Gives a decoder-only language model `generate`.

    Abstract: put it before `Application` among the bases of a class, and after
    `super().__init__(inputs, outputs)` set

    - `decoder`: a `TransformerDecoder` of blocks without cross-attention, or what has
      its `start_cache` and `step`;
    - `tokenizer`: an object with `encode` and `decode`, or `None` for a model that
      reads and writes token ids;
    - `vocabulary_size`: V;
    - `max_length`: most tokens of a text, prompt included, or `None`;
    - `end_id`: token id that ends a text, a tuple of several, or `None`.

    It may set `padding_id`, what follows the end where texts have different lengths
    (0), and `forbidden_ids`, which are never written (none). It must have

    - `embed(token_ids, positions)`: from integers `(B, T)`, both, to `(B, T, D)`;
    - `predict_logits(x)`: from `(B, T, D)`, what comes out of `decoder`, to logits
      `(B, T, V)`.

    Both are called with the layers that the training graph calls. Where a tokenizer
    adds more than an end, or calls for arguments, `encode_prompt(text)`, which returns
    a list of integers, and `decode_text(token_ids)`, which returns a string, are to be
    overridden.

    Example:

    >>> from keras_attention import layers
    >>> class TinyGPT(TextGenerator, keras.Model):
    ...     def __init__(self):
    ...         embedding = layers.TokenAndPositionEmbedding(9, 8, max_length=32)
    ...         block = layers.TransformerDecoderBlock(2, 16, use_cross_attention=False)
    ...         decoder = layers.TransformerDecoder(block, num_layers=2)
    ...         token_ids = keras.Input((None,), dtype="int32")
    ...         x = decoder(embedding(token_ids))
    ...         super().__init__(token_ids, embedding.token_embedding(x, reverse=True))
    ...         self.embedding, self.decoder, self.tokenizer = embedding, decoder, None
    ...         self.vocabulary_size, self.max_length, self.end_id = 9, 32, None
    ...     def embed(self, token_ids, positions):
    ...         return self.embedding(token_ids, positions=positions)
    ...     def predict_logits(self, x):
    ...         return self.embedding.token_embedding(x, reverse=True)
    >>> TinyGPT().generate([[3, 5], [4]], max_new_tokens=6).shape
    (2, 8)
    """

    padding_id = 0
    forbidden_ids = ()

    def embed(self, token_ids, positions):
        """Vectors `(B, T, D)` of tokens at their positions."""
        raise NotImplementedError

    def predict_logits(self, x):
        """Logits `(B, T, V)` of what comes out of the decoder."""
        raise NotImplementedError

    def encode_prompt(self, text):
        """The token ids of a prompt, a list of integers."""
        token_ids = np.asarray(self.tokenizer.encode([text]))[0].tolist()
        while token_ids and token_ids[-1] in self._end_ids:
            token_ids.pop()  # the text goes on
        return token_ids

    def decode_text(self, token_ids):
        """The text of a list of token ids."""
        return self.tokenizer.decode([token_ids])[0]

    def make_steps(self):
        """How this model begins and goes on: see `CachedSteps`."""
        return CachedSteps(self.decoder, self.embed, self.predict_logits)

    def generate(
        self,
        prompts,
        max_length=None,
        max_new_tokens=None,
        min_new_tokens=0,
        sampler="greedy",
        stop=None,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        callback=None,
        include_prompt=True,
        return_log_probabilities=False,
        return_attention_scores=False,
        forbidden_ids=(),
        batch_size=None,
    ):
        """Continues texts.

        The prompts are read at once, their keys and values kept, and then one token
        after the other is written. On JAX and TensorFlow both are compiled, for a new
        length of the prompts only where it enters another bucket. Nothing in the model
        changes.

        Args:
            prompts: A string or a list of strings; without a tokenizer, or where they
                are encoded already, lists of token ids of any lengths, or integers
                `(B, P)`.
            max_length: Most tokens of a text, its prompt included. By default what the
                model has positions for.
            max_new_tokens: Most tokens that are written, in place of `max_length`.
            min_new_tokens: Tokens that are written before a text may end.
            sampler: `"greedy"`, `"beam"`, `"random"`, or a `Sampler` such as
                `RandomSampler(top_p=0.9, seed=1)`.
            stop: What ends a text besides `end_id`, and is left out of it: a string, a
                list of strings, or of lists of token ids.
            repetition_penalty: More than 1 avoids tokens that were there.
            no_repeat_ngram_size: So many tokens in a row never come twice.
            callback: Called with the new part of each text, a list of B strings or
                lists of token ids, each time some are written. Half of a character, and
                what may become a stop sequence, waits: the parts, joined, are what is
                returned without prompts. Not for beams.
            include_prompt: Whether a text begins with its prompt.
            return_log_probabilities: Also return how probable is what was written.
            return_attention_scores: Also return what each new token's prediction read.
            forbidden_ids: Token ids that are never written.
            batch_size: Most texts that are written at a time, of prompts of like
                lengths. By default all.

        Returns:
            A string for a string, and a list of B for several; where the model or the
            prompts have no strings, integers `(B, T)`, `padding_id` behind the end. If
            asked, in a tuple, in this order: log-probabilities `(B,)`, and weights
            `(num_layers, B, N, L, T)` as NumPy arrays, as `show_heads` takes them,
            where row i is what was read to predict new token i and T counts the tokens
            from the first of the prompt; an end that was drawn has no row. With
            `BeamSearch(num_results=n)` lists of n, and an axis n behind B.

        Raises:
            ValueError: A prompt or an option cannot be used.

        """
        is_one = isinstance(prompts, str)
        rows, has_text = self._read_rows([prompts] if is_one else prompts, "prompt")
        asked = {
            "return_log_probabilities": return_log_probabilities,
            "return_attention_scores": return_attention_scores,
        }
        options = read_options(
            TokenIds(
                self.vocabulary_size,
                self._end_ids,
                self.padding_id,
                tuple(self.forbidden_ids),
            ),
            sampler,
            has_text=has_text,
            callback=callback,
            min_new_tokens=min_new_tokens,
            stop=stop,
            repetition_penalty=repetition_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            forbidden_ids=forbidden_ids,
            **asked,
        )
        count = self._count_new(max(map(len, rows)), max_length, max_new_tokens)
        stream = Stream(
            len(rows),
            options.rules,
            self.decode_text if has_text else None,
            options.stop_texts,
            callback,
        )
        written = self.writer.write(
            lambda numbers: pad_prompts([rows[i] for i in numbers], count),
            [len(row) for row in rows],
            count,
            options,
            batch_size=batch_size,
            stream=stream,
        )
        texts = []
        for row, each in zip(rows, written, strict=True):
            few = [stream.read(new) for new in each.token_ids]
            if include_prompt:
                few = [
                    with_prompt(self.decode_text, row, new, text)
                    if has_text
                    else row + new
                    for new, text in zip(each.token_ids, few, strict=True)
                ]
            texts.append(few)
        lengths = [
            len(row) + max(map(len, each.token_ids))
            for row, each in zip(rows, written, strict=True)
        ]
        outputs, *more = collect(texts, written, options, lengths=lengths, **asked)
        outputs = outputs[0] if is_one else outputs
        return (outputs, *more) if more else outputs

    def perplexity(
        self,
        texts,
        stride=None,
        window=None,
        per_text=False,
        batch_size=8,
        verbose="auto",
    ):
        """Among how many tokens the model hesitates at each token of texts.

        The exponential of the mean of -log p over all tokens but the first of each
        text, which has nothing before it. What is longer than the model reads is read
        in windows that overlap; a token is counted in the first that holds it.

        Args:
            texts: As the prompts of `generate`: a string, a list of n strings, or lists
                of token ids.
            stride: How many tokens a window begins behind the one before. Defaults to
                half of a window: less is slower, and gives each token more to read.
            window: Most tokens of a window. Defaults to what the model has positions
                for.
            per_text: Whether each text gets a number of its own.
            batch_size: Windows that are read at a time.
            verbose: 0 shows nothing, 1 a bar; `"auto"` is 1.

        Returns:
            A float over all texts, or with `per_text` an array `(n,)`.

        Raises:
            ValueError: A text has fewer than two tokens, `window` is longer than the
                model reads, or `stride` leaves out tokens.

        Example:

        >>> from keras_attention.applications import GPT2
        >>> model = GPT2(vocabulary_size=20, hidden_dim=8, num_layers=1, num_heads=2)
        >>> model.set_weights([0 * weight for weight in model.get_weights()])
        >>> round(model.perplexity([[3, 5, 7, 2]], verbose=0), 3)
        20.0
        """
        if getattr(self, "head", "next_token") != "next_token":
            raise ValueError(
                f"This {type(self).__name__} has head={self.head!r}, so it predicts no "
                'tokens. Load it with head="next_token".'
            )
        check_positive(batch_size=batch_size)
        size = self._window_size(window, stride)
        texts = [texts] if isinstance(texts, str) else texts
        rows, _ = self._read_rows(texts, "text")
        for i, row in enumerate(rows):
            if len(row) < 2:
                raise ValueError(
                    "Perplexity is of tokens that have others before them. Received "
                    f"text {i} with one token alone. Leave it out."
                )
        windows = cut_windows(map(len, rows), size, stride)
        found = self._scorer.log_probabilities(
            rows, windows, batch_size, 1 if verbose == "auto" else verbose
        )
        if per_text:
            return np.exp([-scores.mean() for scores in found])
        return float(np.exp(-np.concatenate(found).mean()))

    def _window_size(self, window, stride):
        """The most tokens of a window, or `None`, checked."""
        if window is not None:
            check_positive(window=window)
        most = self.max_length
        if window is not None and (window < 2 or window > (most or window)):
            raise ValueError(
                "`window` must be at least 2 and no more than the model reads, "
                f"{most or 'which is any number'}. Received: window={window}"
            )
        size = window or most
        if stride is not None:
            check_positive(stride=stride)
            if size is None or stride >= size:
                raise ValueError(
                    "`stride` must be less than a window, so that the first token of "
                    f"a window is counted, too. Received: stride={stride} and windows "
                    f"of {size or 'any number of'} tokens."
                )
        return size

    @functools.cached_property
    def _scorer(self):
        return Scorer(self, SMALLEST_BUCKET)

    @property
    def _end_ids(self):
        if self.end_id is None:
            return ()
        ids = self.end_id if isinstance(self.end_id, tuple | list) else (self.end_id,)
        return tuple(int(i) for i in ids)

    # What comes in.

    def _read_rows(self, texts, noun):
        """The token ids of texts, as lists, and whether they were strings.

        Errors call each of them by a noun, such as "prompt".
        """
        if not isinstance(texts, list | tuple | np.ndarray):
            texts = ops.convert_to_numpy(texts)
        if not len(texts):
            raise ValueError(f"`{noun}s` must hold at least one {noun}. Received none.")
        has_text = any(isinstance(text, str) for text in texts)
        if has_text:
            return [self._encode(*item, noun) for item in enumerate(texts)], True
        rows = []
        for i, text in enumerate(texts):
            row = np.asarray(text)
            if row.ndim != 1 or (row.size and row.dtype.kind not in "ui"):
                raise ValueError(
                    f"`{noun}s` must be strings, or token ids, a list of integers "
                    f"each. Received: {text!r} as {noun} {i}."
                )
            rows.append(self._check_row(i, row.tolist(), noun))
        return rows, False

    def _encode(self, number, text, noun):
        if self.tokenizer is None:
            raise ValueError(
                f"This {type(self).__name__} has no tokenizer, so it reads token ids. "
                f"Received the string {text!r}. Build it with one, or encode the "
                f"{noun}s."
            )
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"Each {noun} must be a string that is not empty. Received: {text!r} "
                f"as {noun} {number}."
            )
        ids = [int(i) for i in self.encode_prompt(text)]
        return self._check_row(number, ids, noun)

    def _check_row(self, number, token_ids, noun):
        if not token_ids:
            raise ValueError(
                f"{noun.capitalize()} {number} has no token. Give each {noun} one at "
                "least, such as the start token."
            )
        low, high = min(token_ids), max(token_ids)
        if low < 0 or high >= self.vocabulary_size:
            raise ValueError(
                f"Token ids must be from 0 to {self.vocabulary_size - 1}. Received: "
                f"{low} to {high} in {noun} {number}."
            )
        return token_ids

    def _count_new(self, longest, max_length, max_new_tokens):
        """How many tokens are written at most."""
        if max_length is not None and max_new_tokens is not None:
            raise ValueError(
                "`max_length` counts the prompt, `max_new_tokens` does not. Received "
                f"both: {max_length} and {max_new_tokens}. Leave one out."
            )
        positions = self.max_length
        if max_new_tokens is not None:
            check_positive(max_new_tokens=max_new_tokens)
            wanted = longest + max_new_tokens
        elif max_length is not None:
            check_positive(max_length=max_length)
            wanted = max_length
        elif positions is None:
            raise ValueError("Pass `max_length` or `max_new_tokens`: both are missing.")
        else:
            wanted = positions
        if positions is not None and wanted > positions:
            raise ValueError(
                f"The model has positions for {positions} tokens. Received a prompt of "
                f"{longest} tokens, and {wanted} tokens asked for in all. Ask for "
                "fewer, or cut the prompt."
            )
        if longest >= wanted:
            raise ValueError(
                f"The longest prompt has {longest} tokens, which leaves none to write "
                f"below max_length={wanted}. Cut it, or raise `max_length`."
            )
        return wanted - longest


def pad_prompts(rows, count):
    """Fills prompts up in front, as `CachedSteps.begin` takes them.

    Args:
        rows: Lists of token ids.
        count: Tokens to write at most.

    Returns:
        Dict of `prompt` `(B, P)` and, where it may matter, `mask` `(B, S)`, False for
        what was filled; and S.

    Example:

    >>> inputs, slots = pad_prompts([[3, 4], [5]], count=10)
    >>> inputs["prompt"][:, -2:].tolist(), inputs["mask"].shape[1] == slots
    ([[3, 4], [0, 5]], True)
    """
    size, slots = bucket_lengths(max(map(len, rows)), count)
    prompt = np.zeros((len(rows), size), "int32")
    mask = np.ones((len(rows), slots), "bool")
    for i, row in enumerate(rows):
        prompt[i, size - len(row) :] = row
        mask[i, : size - len(row)] = False
    if mask.all() and keras.backend.backend() == "torch":
        return {"prompt": prompt}, slots  # where nothing is compiled
    return {"prompt": prompt, "mask": mask}, slots


def bucket_lengths(longest, count):
    """How many slots prompts and texts get.

    On PyTorch the prompts are not compiled, so there they get as many as they need.

    Args:
        longest: Tokens of the longest prompt.
        count: Tokens to write at most.

    Returns:
        P, slots of the prompts, and S, slots in all.

    Example:

    >>> expected = (37, 64) if keras.backend.backend() == "torch" else (64, 128)
    >>> bucket_lengths(37, 10) == expected
    True
    """
    size = longest
    if keras.backend.backend() != "torch":
        size = max(SMALLEST_BUCKET, 1 << (longest - 1).bit_length())
    return size, -(-(size + count) // SLOT_STEP) * SLOT_STEP

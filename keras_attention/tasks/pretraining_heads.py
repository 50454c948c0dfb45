"""The heads that learn from texts alone: words, and how sentences follow each other.

Letters: B sequences, T tokens, V vocabulary.
"""

import numpy as np

from keras_attention.data.corruption import mask_tokens
from keras_attention.data.corruption import permute_tokens
from keras_attention.layers.channel_bias import ChannelBias
from keras_attention.ops.activations import ACTIVATIONS
from keras_attention.tasks.class_ids import class_ids
from keras_attention.tasks.task_head import POOLER
from keras_attention.tasks.task_head import TaskHead
from keras_attention.tasks.task_head import WORDS
from keras_attention.tasks.written_texts import check_written
from keras_attention.tasks.written_texts import teacher_forced
from keras_attention.tasks.written_texts import with_answers
from keras_attention.tokenizers.vocabulary import shorten


class Bare(TaskHead):
    """No head: the tokens, and one vector for the text where the model makes one."""

    layers = POOLER

    def attach(self, encoded):
        if not encoded.has_pooled_output:
            return encoded.tokens
        return {"tokens": encoded.tokens, "pooled": encoded.pooled()}


class NextToken(TaskHead):
    """The token after each token, from all before it.

    Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training",
    Equations 1 and 2: logits `(B, T, V)`.
    """

    name = "next_token"
    layers = ("next_token_head",)

    def attach(self, encoded):
        table = encoded.embedding.token_embedding
        if encoded.tie_embeddings:
            return table(encoded.tokens, reverse=True)
        words = table.input_dim
        return encoded.dense(encoded.tokens, words, "next_token_head", use_bias=False)

    def take_labels(self, model, examples, labels):
        """Texts are their own labels; answers go behind their prompts."""
        if labels is not None:
            examples = with_answers(examples, labels)
        check_written(examples)
        return examples, examples

    def read_labels(self, model, labels, examples):
        return labels

    def prepare_to_learn(self, model, examples, labels, length=None, seed=None):
        """Tokens, the next ones, and which of these are learned."""
        tokenizer = model.tokenizer
        found = model.encode_examples(examples, length, return_offsets=True)
        inputs, targets, weights, mask = teacher_forced(
            [
                written_tokens(tokenizer, example, found, i)
                for i, example in enumerate(examples)
            ],
            found["token_ids"].shape[1],
            tokenizer.padding_id,
        )
        return {"token_ids": inputs, "padding_mask": mask}, targets, weights


class LanguageModel(TaskHead):
    """The token at each place, from vectors that may have read it.

    Logits `(B, T, V)`, from the table of the tokens and a bias. See
    `PermutationLanguageModel` for what it is trained with.
    """

    name = "language_model"
    layers = ("language_model_head", "language_model_bias")
    dataset = "PermutationLanguageModelDataset"

    def attach(self, encoded):
        table = encoded.embedding.token_embedding
        if encoded.tie_embeddings:
            x = table(encoded.tokens, reverse=True)
        else:
            x = encoded.dense(
                encoded.tokens, table.input_dim, "language_model_head", use_bias=False
            )
        return ChannelBias(name="language_model_bias")(x)


class PermutationLanguageModel(LanguageModel):
    """Some tokens of a text, each from those before it in an order that is drawn.

    Yang et al. 2019, arXiv:1906.08237, Sections 2.2 and 2.3: logits `(B, M, V)` of M
    tokens of each text, from the stream that does not see them.
    """

    name = "permutation_language_model"
    dataset = None

    def take_labels(self, model, examples, labels):
        """Texts are their own labels."""
        if labels is not None:
            raise ValueError(
                f"{type(model).__name__} with head={self.name!r} draws itself which "
                "tokens of a text it predicts. Received labels, too: leave them out."
            )
        return examples, examples

    def read_labels(self, model, labels, examples):
        return labels

    def prepare_to_learn(self, model, examples, labels, length=None, seed=None):
        inputs = model.encode_examples(examples, length)
        tokenizer = model.tokenizer
        drawn, targets, weights = permute_tokens(
            inputs["token_ids"],
            tokenizer.special_ids,
            padding_id=tokenizer.padding_id,
            seed=np.random.randint(2**31) if seed is None else seed,
        )
        return {**inputs, **drawn}, targets, weights

    def complete(self, model, inputs):
        """Lets the second stream stand where texts have masks."""
        check_mask(model)
        is_mask = inputs["token_ids"] == model.tokenizer.mask_id  # (B, T)
        counts = is_mask.sum(axis=1)
        if not counts.all():
            ((mask,),) = model.tokenizer.tokens([[model.tokenizer.mask_id]])
            raise ValueError(
                f"{type(model).__name__} predicts the tokens under {mask}. Received a "
                f"text without one, at position {counts.argmin()}. Write it where a "
                "token is to be predicted."
            )
        # Places of masks in front, in their order.
        order = np.argsort(~is_mask, axis=1, kind="stable")[:, : counts.max()]
        stands = np.arange(counts.max()) < counts[:, None]
        readable = np.broadcast_to(
            ~is_mask[:, None], (*is_mask.shape, is_mask.shape[1])
        )
        return {
            **inputs,
            "permutation_mask": readable,
            "target_positions": np.where(stands, order, -1).astype("int32"),
        }


class MaskedLanguageModel(TaskHead):
    """The word under each mask (Devlin et al. 2019, arXiv:1810.04805, Section 3.1).

    Logits `(B, T, V)`, from the table of the tokens and a layer in front of it.
    """

    name = "masked_language_model"
    layers = WORDS

    def attach(self, encoded):
        return encoded.words()

    def take_labels(self, model, examples, labels):
        """Texts are their own labels."""
        check_mask(model)
        if labels is not None:
            raise ValueError(
                f'{type(model).__name__} with head="masked_language_model" hides words '
                "of texts itself. Received labels, too: leave them out."
            )
        return examples, examples

    def read_labels(self, model, labels, examples):
        return labels

    def prepare_to_learn(self, model, examples, labels, length=None, seed=None):
        return hide_words(model, examples, length, seed)


class ReplacedTokenDetection(TaskHead):
    """Which tokens of a text are not its own (Clark et al. 2020, arXiv:2003.10555).

    Logits `(B, T)`, positive for a token that was probably replaced. A label is the
    text as it was, of as many tokens. Train it with `TokenBinaryCrossentropy`.
    """

    name = "replaced_token_detection"
    layers = ("replaced_token_dense", "replaced_token_head")

    def attach(self, encoded):
        width = encoded.tokens.shape[-1]
        x = encoded.dense(encoded.tokens, width, self.layers[0])
        x = ACTIVATIONS[encoded.activation](x)
        return encoded.dense(x, 1, self.layers[1])[..., 0]  # (B, T)

    def read_labels(self, model, labels, examples):
        originals = model.read_raw(labels)
        if originals is None:
            raise ValueError(
                "To learn which tokens of texts were replaced, pass these texts as "
                f"they were before. Received: {shorten(labels)}."
            )
        return originals

    def prepare_labels(self, model, labels, examples, length=None):
        found, wanted = (model.encode_examples(x, length) for x in (examples, labels))
        mask = found["padding_mask"]
        counts = mask.sum(axis=1), wanted["padding_mask"].sum(axis=1)
        if any(others := counts[0] != counts[1]):
            row = others.argmax()
            raise ValueError(
                "A text in which tokens were replaced has as many as before. Received: "
                f"{counts[0][row]} tokens of {shorten(examples[row])}, and "
                f"{counts[1][row]} of {shorten(labels[row])}. Pass token ids and, as "
                "labels, 0 and 1."
            )
        replaced = found["token_ids"] != wanted["token_ids"]
        return replaced.astype("float32"), mask.astype("float32")


class NextSentence(TaskHead):
    """Whether the second text follows the first (Devlin et al. 2019, Section 3.1).

    Logits `(B, 2)`; the first is that it does, as in the published weights.
    """

    name = "next_sentence"
    layers = (*POOLER, "next_sentence_head")

    def attach(self, encoded):
        return encoded.dense(encoded.pooled(), 2, "next_sentence_head")


class SentenceOrder(TaskHead):
    """Whether two texts were swapped (Lan et al. 2020, arXiv:1909.11942, Section 3.1).

    Logits `(B, 2)`; the first is that they were not.
    """

    name = "sentence_order"
    layers = (*POOLER, "sentence_order_head")

    def attach(self, encoded):
        x = encoded.dropped(encoded.pooled(), encoded.dropout, "classifier_dropout")
        return encoded.dense(x, 2, "sentence_order_head")


class Pretraining(TaskHead):
    """Masked words and, beside them, a task about two sentences, as in the paper."""

    name = "pretraining"
    layers = (*WORDS, *NextSentence.layers, *SentenceOrder.layers)
    dataset = "MaskedLanguageModelDataset"
    second_tasks = {head.name: head for head in (NextSentence(), SentenceOrder())}

    def attach(self, encoded):
        second = self.second_tasks[encoded.second_task]
        return {
            "masked_language_model": encoded.words(),
            second.name: second.attach(encoded),
        }

    def take_labels(self, model, examples, labels):
        check_mask(model)
        return super().take_labels(model, examples, labels)

    def read_labels(self, model, labels, examples):
        return class_ids(labels, num_classes=2)

    def prepare_to_learn(self, model, examples, labels, length=None, seed=None):
        if isinstance(labels, dict):
            return super().prepare_to_learn(model, examples, labels, length, seed)
        words = MaskedLanguageModel.name
        (second,) = model.output.keys() - {words}
        inputs, targets, weights = hide_words(model, examples, length, seed)
        ones = np.ones(len(examples), "float32")
        return inputs, {words: targets, second: labels}, {words: weights, second: ones}


def hide_words(model, examples, length=None, seed=None):
    """Inputs with hidden words, these words, and where they are; see `mask_tokens`."""
    inputs, tokenizer = model.prepare(examples, length), model.tokenizer
    token_ids, targets, weights = mask_tokens(
        inputs["token_ids"],
        tokenizer.mask_id,
        len(tokenizer),
        tokenizer.special_ids,
        padding_id=tokenizer.padding_id,
        seed=np.random.randint(2**31) if seed is None else seed,
    )
    return {**inputs, "token_ids": token_ids}, targets, weights


def check_mask(model):
    """Refuses a tokenizer without a token that hides another."""
    if model.tokenizer.mask_id is None:
        raise ValueError(
            f"{type(model).__name__} hides words behind a mask, and its tokenizer has "
            "none. Load the tokenizer that it was published with, or train one with "
            "`train_word_pieces`."
        )


def written_tokens(tokenizer, example, found, row):
    """The tokens of a text as `generate` would go on with it, and those to be learned.

    Args:
        tokenizer: A `PublishedTokenizer`.
        example: A string, or a prompt and its answer.
        found: What the tokenizer returned, with offsets.
        row: The number of the example in it.

    Returns:
        Integers `(T,)`, with the end; and booleans `(T,)`, True for tokens of the
        answer, or of a text without a prompt.
    """
    is_pair = isinstance(example, tuple)
    names = ("token_ids", "sequence_ids", "offsets")
    ids, numbers, offsets = (
        found[name][row][found["padding_mask"][row]] for name in names
    )
    # Special tokens in front stay, others go.
    stays = (numbers >= 0) | (np.cumsum(numbers >= 0) == 0)
    ids, numbers, offsets = ids[stays], numbers[stays], offsets[stays]
    is_learned = numbers == int(is_pair)
    text = example[1] if is_pair else example
    end = max(offsets[is_learned, 1], default=0)
    is_whole = not tokenizer.truncate or end >= len(text.rstrip())
    if is_whole and tokenizer.end_id is not None:
        ids, is_learned = np.append(ids, tokenizer.end_id), np.append(is_learned, True)
    if is_pair and not is_learned[1:].any():
        raise ValueError(
            f"The answer {shorten(text)} to the prompt {shorten(example[0])} has no "
            "token to be learned, as the tokenizer has no end either. Leave it out."
        )
    return ids, is_learned

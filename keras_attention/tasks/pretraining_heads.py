"""The heads that learn from texts alone: words, and how sentences follow each other.

Letters: B sequences, T tokens, V vocabulary.
"""

from keras_attention.tasks.task_head import POOLER
from keras_attention.tasks.task_head import TaskHead
from keras_attention.tasks.task_head import WORDS


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
    dataset = "LanguageModelDataset"

    def attach(self, encoded):
        table = encoded.embedding.token_embedding
        if encoded.tie_embeddings:
            return table(encoded.tokens, reverse=True)
        words = table.input_dim
        return encoded.dense(encoded.tokens, words, "next_token_head", use_bias=False)


class MaskedLanguageModel(TaskHead):
    """The word under each mask (Devlin et al. 2019, arXiv:1810.04805, Section 3.1).

    Logits `(B, T, V)`, from the table of the tokens and a layer in front of it.
    """

    name = "masked_language_model"
    layers = WORDS
    dataset = "MaskedLanguageModelDataset"

    def attach(self, encoded):
        return encoded.words()


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

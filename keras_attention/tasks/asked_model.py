"""What a model that reads texts is asked: for classes, for answers, for a choice.

Letters: n texts, B of them in a batch, C choices.
"""

from keras_attention.checks import check_positive
from keras_attention.tokenizers.texts import check_texts
from keras_attention.tokenizers.texts import read_strings


class AskedModel:
    """Gives a model that reads texts `classify`, `answer` and `choose`.

    Abstract: `TextInputs` derives from it. The head of the model, its `task`, answers.
    """

    def classify(self, texts, batch_size=None):
        """The class that a classifier finds most probable.

        Args:
            texts: As for `predict`.
            batch_size: B.

        Returns:
            List of n names, or numbers without `class_names`, and the probabilities of
            all classes, `(n, num_classes)`. Of words lists of names, and a list of
            arrays `(words, num_classes)`; what was cut off has none. With
            `"multi_label"` lists of the names that are more probable than not.

        Raises:
            ValueError: The model is no classifier of texts.

        Example:

        >>> from keras_attention.applications import BERT
        >>> from keras_attention.tokenizers.tokenizer_files import (
        ...     word_piece_tokenizer,
        ... )
        >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad"]
        >>> model = BERT(
        ...     tokenizer=word_piece_tokenizer(words), vocabulary_size=6, hidden_dim=8,
        ...     num_layers=1, num_heads=2, mlp_dim=8, head="classification",
        ...     class_names=["against", "for"],
        ... )
        >>> names, probabilities = model.classify(["good", "bad bad"])
        >>> probabilities.shape
        (2, 2)
        """
        return self.task.classify(self, texts, batch_size)

    def answer(
        self,
        questions,
        contexts,
        batch_size=None,
        max_answer_length=30,
        null_threshold=None,
    ):
        """Finds the answers to questions in texts of any length.

        What is longer than the model reads is read in windows that overlap by half.

        Args:
            questions: List of n strings.
            contexts: List of n strings, in which the answers stand.
            batch_size: B.
            max_answer_length: Most tokens of an answer.
            null_threshold: From how much on that speaks for no answer there is none:
                with `"question_answering"` by how much the logits of the token that
                stands for the text exceed those of the best answer (Devlin et al.
                2019, Section 4.3), with `"question_answering_beam_search"` the logit
                `unanswerable`. By default each question has an answer.

        Returns:
            List of n strings: the part of each context whose first and last token have
            the highest sum of logits or, where the last one depends on the first, of
            log-probabilities. Empty where there is no answer.

        Raises:
            ValueError: The model answers no questions.
        """
        check_positive(max_answer_length=max_answer_length)
        questions, contexts = (
            check_texts(read_strings(texts), name)
            for texts, name in ((questions, "questions"), (contexts, "contexts"))
        )
        if len(questions) != len(contexts):
            raise ValueError(
                "Each question needs the context in which its answer stands. Received: "
                f"{len(questions)} questions and {len(contexts)} contexts."
            )
        examples = self.read_raw((questions, contexts))
        return self.task.answer(
            self, examples, batch_size, max_answer_length, null_threshold
        )

    def choose(self, texts, choices, batch_size=None):
        """Finds the best of the choices that each text has.

        Args:
            texts: List of n strings.
            choices: List of n lists of strings, equally many each.
            batch_size: B.

        Returns:
            List of n strings, and the probabilities `(n, C)`.

        Raises:
            ValueError: The model chooses nothing.
        """
        if self.head != "multiple_choice":
            self.task.choose(self, [], batch_size)
        texts = check_texts(read_strings(texts))
        choices = [check_texts(read_strings(each), "choices") for each in choices]
        if len(texts) != len(choices):
            raise ValueError(
                "Each text needs its list of choices. Received: "
                f"{len(texts)} texts and {len(choices)} lists of choices."
            )
        examples = self.read_raw((texts, choices))
        return self.task.choose(self, examples, batch_size)

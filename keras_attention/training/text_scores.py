"""Scores of what a model writes after each epoch, for callbacks that watch them."""

import time

import keras

from keras_attention.training.bleu import bleu
from keras_attention.training.chrf import chrf
from keras_attention.training.error_rates import sequence_error_rate
from keras_attention.training.error_rates import token_error_rate

SCORES = {
    "bleu": bleu,
    "chrf": chrf,
    "token_error_rate": token_error_rate,
    "sequence_error_rate": sequence_error_rate,
}


class TextScores(keras.callbacks.Callback):
    """Lets the model write, after each epoch, and logs how good that is.

    The loss tells how probable the true tokens are, each after the true ones before
    it; these scores tell what a search finds. They are logged as `val_bleu`,
    `val_chrf`, `val_token_error_rate` and `val_sequence_error_rate`, so that
    `EarlyStopping` and `ModelCheckpoint` can watch them: put this callback before them,
    and give them the `mode`, `"max"` for BLEU and chrF, `"min"` for error rates.

    Args:
        inputs: List of n inputs of the model, such as sentences.
        references: List of n strings, or of n lists of strings where several texts
            would be right.
        scores: Names of scores: `"bleu"`, `"chrf"`, `"token_error_rate"`,
            `"sequence_error_rate"`. Others are given as a dict from name to function
            of texts and references.
        method: Name of the model's method that writes, which takes the inputs and
            returns strings.
        every: Number of epochs from one time to the next. In the epochs between, the
            scores of the last time are logged again; before the first, none.
        **options: What the method takes besides. By default one beam.

    Raises:
        ValueError: There is not one reference for each input, or a score is unknown.

    Example:

    >>> callback = TextScores(["a cat"], ["un chat"], scores=["token_error_rate"])
    >>> callback.score(["un chien"])
    {'val_token_error_rate': 50.0}
    """

    def __init__(
        self,
        inputs,
        references,
        scores=("bleu", "chrf"),
        method="translate",
        every=1,
        **options,
    ):
        super().__init__()
        if len(inputs) != len(references) or not len(inputs):
            raise ValueError(
                "There must be one reference, or one list of them, for each input. "
                f"Received: {len(inputs)} inputs, {len(references)} references."
            )
        scores = [scores] if isinstance(scores, str) else scores
        unknown = [
            s for s in scores if not isinstance(scores, dict) and s not in SCORES
        ]
        if unknown or not len(scores):
            raise ValueError(
                f"`scores` must be names among {', '.join(map(repr, SCORES))}, or a "
                f"dict of functions. Received: {list(scores)}"
            )
        if every < 1:
            raise ValueError(f"`every` must be 1 or more. Received: every={every!r}")
        if not isinstance(scores, dict):
            scores = {name: SCORES[name] for name in scores}
        self.inputs, self.references, self.scores = inputs, references, dict(scores)
        self.method, self.every = method, every
        self.options = {"beam_width": 1, **options}
        self.last = {}
        self.seconds = 0.0

    def score(self, texts):
        """The scores of texts that were written for the inputs.

        Args:
            texts: List of n strings.

        Returns:
            Dict from the name in the logs to the score.
        """
        return {
            f"val_{name}": float(function(texts, self.references))
            for name, function in self.scores.items()
        }

    def on_epoch_end(self, epoch, logs=None):
        if epoch % self.every == self.every - 1:
            begin = time.perf_counter()
            texts = getattr(self.model, self.method)(self.inputs, **self.options)
            self.last = self.score(texts)
            self.seconds += time.perf_counter() - begin
        if logs is not None:
            logs.update(self.last)

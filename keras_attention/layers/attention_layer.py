"""What all attention layers share: they go through `attend`, and drop weights."""

import keras

from keras_attention.checks import check_rate
from keras_attention.checks import check_sequence
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.carried_masks import carry_mask
from keras_attention.layers.recorder import recorder_for
from keras_attention.ops import attend
from keras_attention.ops import combine_masks


class AttentionLayer(BaseLayer):
    """A layer whose weights come out of `keras_attention.ops.attend`.

    Abstract.
    """

    # Whether a recorder gets the weights from here. Not so within a compiled loop: what
    # is made in it must not leave it by the side.
    is_recorded = True

    def __init__(self, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_rate(dropout=dropout)
        self.dropout = dropout
        self.seed = seed
        if dropout > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def attend(self, query, key, value, *, kind, masks=(), training=None, **options):
        """Lets each query read the values; `options` are those of `ops.attend`.

        `kind` is `"self"` or `"cross"`, or `None` for what no recorder sees.
        """
        recorder = None
        if self.is_recorded and kind is not None:
            recorder = recorder_for(self.path)
        if recorder is not None:
            change = options.get("change_weights", lambda weights: weights)
            options["change_weights"] = lambda weights: recorder.record(
                self.path, kind, change(weights)
            )
        dropped = self.dropout > 0 and training
        return attend(
            query,
            key,
            value,
            mask=combine_masks(*masks),
            dropout=self.dropout if dropped else 0.0,
            seed=self.seed_generator if dropped else None,
            **options,
        )


class SingleHeadAttention(AttentionLayer):
    """An attention layer with one head, whose output is as wide as the values.

    Abstract. A subclass says in `call` how a query matches a key.
    """

    def read(
        self,
        query,
        key,
        value,
        *,
        masks,
        query_mask,
        return_attention_scores,
        training,
        **options,
    ):
        """Attends with one head, which the tensors `(B, length, width)` lack."""
        check_sequence(self.name, query=query, value=value, key=key)
        result = self.attend(
            query[:, :, None],
            key[:, :, None],
            value[:, :, None],
            kind="cross",
            masks=masks,
            training=training,
            return_attention_scores=return_attention_scores,
            **options,
        )
        if return_attention_scores:
            output, weights = result
            output = carry_mask(output[:, :, 0], query_mask)
            return output, weights[:, 0]  # (B, T, Dv), (B, T, S)
        return carry_mask(result[:, :, 0], query_mask)

    def compute_mask(self, query, previous_mask):
        # It may be the one that was passed for the values; see `carry_mask`.
        return None

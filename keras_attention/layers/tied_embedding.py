"""A table of tokens that is the first layer and the last."""

import keras

from keras_attention.backend.projection import project_to_table
from keras_attention.backend.quantized_products import multiply_int8


@keras.saving.register_keras_serializable("keras_attention")
class TiedEmbedding(keras.layers.ReversibleEmbedding):
    """Turns token ids into vectors and, in reverse, vectors into logits.

    Press and Wolf 2017, arXiv:1608.05859:

        output = table[token_ids]
        logits = inputs @ table.T

    It is the layer of Keras with the last product made for steps of decoding, which
    take as long as reading the table.

    Args:
        input_dim: Number V of tokens.
        output_dim: Width D of a token.
        **kwargs: Those of `keras.layers.ReversibleEmbedding`.

    Call arguments:
        inputs: `(B, T)` integers from 0 to V - 1, in reverse `(B, T, D)`.
        reverse: Whether logits are asked for.

    Returns:
        `(B, T, D)`, in reverse `(B, T, V)`.

    Example:

    >>> layer = TiedEmbedding(100, 8)
    >>> x = layer(keras.ops.zeros((2, 5), "int32"))
    >>> tuple(x.shape), tuple(layer(x, reverse=True).shape)
    ((2, 5, 8), (2, 5, 100))
    """

    def __init__(self, input_dim, output_dim, **kwargs):
        super().__init__(input_dim, output_dim, **kwargs)
        # Else Keras 3.15 warns that it passes no mask on when it is called in reverse.
        self.supports_masking = True

    def call(self, inputs, reverse=False):
        is_product = self.tie_weights and self.logit_soft_cap is None
        if reverse and is_product and self.reverse_dtype is None:
            return project_to_table(inputs, self.embeddings)
        return super().call(inputs, reverse=reverse)

    def quantized_call(self, inputs, reverse=False):
        is_product = self.tie_weights and self.logit_soft_cap is None
        is_int8 = self.quantization_mode == "int8"
        if not (reverse and is_product and is_int8 and self.reverse_dtype is None):
            return super().quantized_call(inputs, reverse=reverse)
        scale = 1.0 / self.embeddings_scale  # Keras divides by its own
        return multiply_int8(inputs, self._embeddings, scale, self.inputs_quantizer)

    def quantize(self, mode=None, type_check=True, config=None):
        # Keras refuses subclasses, which may not be what it takes them for; this is.
        super().quantize(mode, type_check=False, config=config)

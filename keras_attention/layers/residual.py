"""A residual branch of a Transformer block: what stands before and behind it."""

import keras
from keras import ops

from keras_attention.checks import check_choice
from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.drop_path import DropPath
from keras_attention.layers.layer_scale import LayerScale


def _rms_norm(**options):
    norm = keras.layers.RMSNormalization(**options)
    norm.supports_masking = True  # Keras 3.15: it passes no mask on, and warns
    return norm


NORMS = {"layer_norm": keras.layers.LayerNormalization, "rms_norm": _rms_norm}
NORM_ORDERS = ("pre", "post", "sandwich", "parallel", "res_post")


class Residual(BaseLayer):
    """Adds the output of a branch f to its input, with a norm.

    The block computes f itself, between `enter` and `leave`:

        x + f(norm(x))            "pre"       Xiong et al. 2020, arXiv:2002.04745
        norm(x + f(x))            "post"      Vaswani et al. 2017, arXiv:1706.03762
        x + norm(f(norm(x)))      "sandwich"  Ding et al. 2021, arXiv:2105.13290
        x + f(norm(x)) + ...      "parallel"  Dehghani et al. 2023, arXiv:2302.05442
        x + norm(f(x))            "res_post"  Liu et al. 2022, arXiv:2111.09883

    In parallel, the other branches read what the first one entered with, and have no
    norm of their own (`is_first=False`).
    """

    def __init__(
        self,
        norm="layer_norm",
        norm_order="pre",
        epsilon=1e-6,
        dropout=0.0,
        layer_scale=None,
        drop_path=0.0,
        seeds=(None, None),
        is_first=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_choice(NORMS, norm=norm)
        check_choice(NORM_ORDERS, norm_order=norm_order)
        check_rate(dropout=dropout, drop_path=drop_path)
        self.norm_order = norm_order
        options = {"dtype": self.dtype_policy}
        self.norm = None
        if is_first or norm_order != "parallel":
            self.norm = NORMS[norm](epsilon=epsilon, name="norm", **options)
        self.output_norm = self.dropout = self.scale = self.drop_path = None
        if norm_order == "sandwich":
            self.output_norm = NORMS[norm](
                epsilon=epsilon, name="output_norm", **options
            )
        if layer_scale is not None:
            self.scale = LayerScale(layer_scale, name="scale", **options)
        if dropout > 0:
            self.dropout = keras.layers.Dropout(
                dropout, seed=seeds[0], name="dropout", **options
            )
        if drop_path > 0:
            self.drop_path = DropPath(
                drop_path, seed=seeds[1], name="drop_path", **options
            )

    @property
    def _behind(self):
        layers = (self.output_norm, self.scale, self.dropout, self.drop_path)
        return [layer for layer in layers if layer is not None]

    def build(self, inputs_shape):
        for layer in (self.norm, *self._behind):
            if layer is not None:
                layer.build(inputs_shape)
        self.built = True

    def enter(self, x):
        return x if self.norm_order in ("post", "res_post") else self.norm(x)

    def leave(self, x, output):
        output = ops.cast(output, x.dtype)  # of a part with a policy of its own
        if self.norm_order == "res_post":
            output = self.norm(output)
        for layer in self._behind:
            output = layer(output)
        x = x + output
        return self.norm(x) if self.norm_order == "post" else x

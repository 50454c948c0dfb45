"""What encoder and decoder share: one block, repeated."""

import keras
import numpy as np
from keras import ops

from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import build_once
from keras_attention.layers.base import check_positive
from keras_attention.layers.base import check_rate
from keras_attention.layers.base import token_mask
from keras_attention.layers.residual import NORMS


class TransformerStack(BaseLayer):
    """A layer that repeats a block, each copy with weights of its own.

    Abstract.
    """

    def __init__(
        self,
        block,
        num_layers,
        drop_path=None,
        final_norm=None,
        position_bias=None,
        **kwargs,
    ):
        # Keras would round the bias with the other inputs.
        super().__init__(autocast=False, **kwargs)
        check_positive(num_layers=num_layers)
        if drop_path is not None:
            check_rate(drop_path=drop_path)
        self._block_config = keras.saving.serialize_keras_object(block)
        self._block_config.pop("build_config", None)  # the copies get new weights
        self.num_layers = num_layers
        self.drop_path = drop_path
        # A block of a user may not say where its norms are.
        norm_order = getattr(block, "norm_order", "post")
        self.final_norm = norm_order != "post" if final_norm is None else final_norm
        self.position_bias = position_bias
        rates = [None] * num_layers
        if drop_path is not None:
            rates = np.linspace(0.0, drop_path, num_layers).tolist()
        self.blocks = [self._copy_block(i, rate) for i, rate in enumerate(rates)]
        if self.final_norm:
            self.norm = NORMS[getattr(block, "norm", "layer_norm")](
                epsilon=getattr(block, "epsilon", 1e-6),
                dtype=self.dtype_policy,
                name="norm",
            )

    @property
    def block(self):
        """A copy of the block that is repeated, without weights."""
        return keras.saving.deserialize_keras_object(self._block_config)

    def _copy_block(self, number, drop_path):
        block = self.block
        config = _with_other_seeds(block.get_config(), 100 * number)
        config["name"] = f"block_{number}"
        if drop_path is not None:
            config["drop_path"] = drop_path
        return type(block).from_config(config)

    def build_stack(self, *shapes):
        """Makes the weights of the blocks for inputs of the given shapes."""
        for block in self.blocks:
            block.build(*shapes)
        if self.final_norm:
            self.norm.build(shapes[0])
        if self.position_bias is not None:
            build_once(self.position_bias, shapes[0])
        self.built = True

    def run_blocks(self, x, *inputs, bias, return_attention_scores, **options):
        """Runs the blocks one after the other; also returns their weights, a list."""
        x = ops.cast(x, self.compute_dtype)
        if self.position_bias is not None:
            shared = self.position_bias(x)  # (1, N, T, T), the same for all blocks
            bias = shared if bias is None else ops.add(bias, shared)
        weights = []
        for block in self.blocks:
            x = block(
                x,
                *inputs,
                bias=bias,
                return_attention_scores=return_attention_scores,
                **options,
            )
            if return_attention_scores:
                x, *block_weights = x
                weights.append(block_weights)
        if self.final_norm:
            x = self.norm(x)
        return x, weights

    def compute_mask(self, inputs, previous_mask):
        return token_mask(previous_mask)


def _with_other_seeds(config, added):
    """Lets copies drop other places, and begin with other weights, than each other."""
    if isinstance(config, list):
        return [_with_other_seeds(value, added) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        name: value + added
        if name == "seed" and isinstance(value, int)
        else _with_other_seeds(value, added)
        for name, value in config.items()
    }

"""What encoder and decoder share: one block, repeated."""

import functools

import keras
import numpy as np
from keras import ops

from keras_attention.backend.loops import is_traced_by_jax
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import build_once
from keras_attention.layers.base import copy_layer
from keras_attention.layers.base import token_mask
from keras_attention.layers.multi_head import MultiHead
from keras_attention.layers.position_scores import scores_of_positions
from keras_attention.layers.position_scores import takes_offset
from keras_attention.layers.recorder import is_recording
from keras_attention.layers.residual import NORMS
from keras_attention.layers.transformer_decoder_block import TransformerDecoderBlock
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.ops.relative import add_biases

LOOPED = (TransformerEncoderBlock, TransformerDecoderBlock)


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
        # A function, not a layer: its weights would be taken for those of the stack.
        self._copy_of_block = functools.partial(
            copy_layer, copy_layer(block), shares=True
        )
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
        return copy_layer(self._copy_of_block())

    def _copy_block(self, number, drop_path):
        changes = {} if drop_path is None else {"drop_path": drop_path}
        return self._copy_of_block(100 * number, name=f"block_{number}", **changes)

    def build_stack(self, *shapes):
        """Makes the weights of the blocks for inputs of the given shapes."""
        for block in self.blocks:
            block.build(*shapes)
        if self.final_norm:
            self.norm.build(shapes[0])
        if self.position_bias is not None:
            build_once(self.position_bias, shapes[0])
        self.built = True

    def run_blocks(
        self, x, *inputs, bias, return_attention_scores, training, **options
    ):
        """Runs the blocks one after the other; also returns their weights, a list."""
        x = ops.cast(x, self.compute_dtype)
        if self.position_bias is not None:
            # (1, N, T, T), the same for all blocks
            bias = add_biases(bias, self.scores_of_all(x, x))
        weights = []
        if not return_attention_scores and self._runs_as_loop(x, training):
            x = self._run_as_loop(x, *inputs, bias=bias, **options)
            return self.norm(x) if self.final_norm else x, weights
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

    def scores_of_all(self, query, key, offset=0):
        """What `position_bias` adds to the scores of each block.

        Args:
            query: `(B, T, ...)`, of which `position_bias` may see only the length.
            key: `(B, S, ...)`.
            offset: Position of the first query among the keys.

        Returns:
            `(1, N, T, S)`, or a `RelativeBias` where that is large.
        """
        layer = self.position_bias
        if not takes_offset(layer):
            return layer(query)  # a layer of a user, which knows no other tokens
        parts = [getattr(block, "attention", None) for block in self.blocks]
        ours = all(part is None or isinstance(part, MultiHead) for part in parts)
        if ours and all(type(block) in LOOPED for block in self.blocks):
            return scores_of_positions(layer, query, key, offset)
        return layer(query, key, offset=offset)  # which anyone can add

    def _runs_as_loop(self, x, training):
        """Whether the blocks are compiled as one that is repeated.

        On JAX a training step is then faster, and compiled in half the time: where
        nothing stands between the sums of one block and the next, XLA computes them
        again and again. A norm behind each sum keeps it from that, and then laying the
        weights together costs more than it gains, as it does at inference.
        """
        if not training or is_recording():
            return False
        if not is_traced_by_jax(x) or not self._blocks_are_alike():
            return False
        return self.blocks[0].norm_order != "post"

    def _blocks_are_alike(self):
        """Whether a block can run with the weights of any other."""
        if not all(type(block) in LOOPED for block in self.blocks):
            return False  # a block of a user may do what a loop forgets, as `add_loss`
        first, *others = (
            [(tuple(v.shape), v.dtype, v.trainable) for v in block.variables]
            for block in self.blocks
        )
        rates = {block.drop_path for block in self.blocks}
        return len(rates) == 1 and all(other == first for other in others)

    def _run_as_loop(self, x, *inputs, **options):
        """Runs the first block once for each, with the variables of each in turn."""
        first = self.blocks[0]

        def run(x, values):
            mapping = zip(first.variables, values, strict=True)
            with keras.StatelessScope(state_mapping=list(mapping)) as scope:
                x = first(x, *inputs, **options)
            changed = [scope.get_current_value(v) for v in self._states(first)]
            return x, changed

        values = [
            ops.stack(variables)
            for variables in zip(*(b.variables for b in self.blocks), strict=True)
        ]
        x, states = ops.scan(run, x, values)
        for number, block in enumerate(self.blocks):
            for variable, state in zip(self._states(block), states, strict=True):
                variable.assign(state[number])
        return x

    @staticmethod
    def _states(block):
        """What a call changes: the states of its random generators."""
        weights = {id(weight) for weight in block.weights}
        return [v for v in block.variables if id(v) not in weights]

    def compute_mask(self, inputs, previous_mask):
        return token_mask(previous_mask)

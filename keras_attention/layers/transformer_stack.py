"""What encoder and decoder share: one block, repeated."""

import functools

import keras
import numpy as np
from keras import ops

from keras_attention.backend.loops import is_traced_by_jax
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import copy_layer
from keras_attention.layers.base import token_mask
from keras_attention.layers.multi_head import MultiHead
from keras_attention.layers.position_scores import scores_of_positions
from keras_attention.layers.position_scores import takes_offset
from keras_attention.layers.recorder import is_recording
from keras_attention.layers.residual import NORMS
from keras_attention.layers.shared_parts import build_once
from keras_attention.layers.transformer_decoder_block import TransformerDecoderBlock
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.ops.relative import add_biases

LOOPED = (TransformerEncoderBlock, TransformerDecoderBlock)
# What a block that runs as a loop may be made of, besides layers of this library.
PARTS_OF_LOOPED = (
    keras.layers.Dropout,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


class TransformerStack(BaseLayer):
    """A layer that repeats a block, each copy with weights of its own.

    Abstract.
    """

    recomputed_as_one = False  # each block by itself, else nothing would be saved

    def __init__(
        self,
        block,
        num_layers,
        drop_path=None,
        final_norm=None,
        position_bias=None,
        attention_scale=None,
        window=None,
        num_groups=None,
        group_size=1,
        beside_first=None,
        **kwargs,
    ):
        # Keras would round the bias with the other inputs.
        super().__init__(autocast=False, **kwargs)
        groups = num_layers if num_groups is None else num_groups
        check_positive(num_layers=num_layers, num_groups=groups, group_size=group_size)
        if groups > num_layers:
            raise ValueError(
                "`num_groups` must be at most `num_layers`, as each group runs once at "
                f"least. Received: num_groups={groups}, num_layers={num_layers}"
            )
        count = groups * group_size
        of_blocks = {"attention_scale": attention_scale, "window": window}
        of_blocks = {key: v for key, v in of_blocks.items() if v is not None}
        for key, values in of_blocks.items():
            if not isinstance(values, list | tuple) or len(values) != count:
                raise ValueError(
                    f"`{key}` must be a list with one for each of the {count} blocks. "
                    f"Received: {key}={values}"
                )
        if drop_path is not None:
            check_rate(drop_path=drop_path)
        # A function, not a layer: its weights would be taken for those of the stack.
        self._copy_of_block = functools.partial(
            copy_layer, copy_layer(block), shares=True
        )
        self.num_layers = num_layers
        self.num_groups = num_groups
        self.group_size = group_size
        self.attention_scale = attention_scale
        self.window = window
        self.drop_path = drop_path
        # A block of a user may not say where its norms are.
        norm_order = getattr(block, "norm_order", "post")
        self.final_norm = norm_order != "post" if final_norm is None else final_norm
        self.position_bias = position_bias
        self.beside_first = beside_first
        changes = [{} for _ in range(count)]
        if drop_path is not None:
            rates = np.linspace(0.0, drop_path, count).tolist()
            changes = [{"drop_path": rate} for rate in rates]
        for key, values in of_blocks.items():
            for change, value in zip(changes, values, strict=True):
                change[key] = value
        self.blocks = [self._copy_block(i, change) for i, change in enumerate(changes)]
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

    @property
    def running_blocks(self):
        """The blocks in the order in which they run, a list.

        Lan et al. 2020, arXiv:1909.11942, Section 3.1: layer i of L runs the blocks of
        group i G / L, so that neighboring layers share their weights.
        """
        groups = self.num_layers if self.num_groups is None else self.num_groups
        order = []
        for layer in range(self.num_layers):
            first = layer * groups // self.num_layers * self.group_size
            order.extend(self.blocks[first : first + self.group_size])
        return order

    def _copy_block(self, number, changes):
        return self._copy_of_block(100 * number, name=f"block_{number}", **changes)

    def build_stack(self, *shapes):
        """Makes the weights of the blocks for inputs of the given shapes."""
        for block in self.blocks:
            block.build(*shapes)
        if self.final_norm:
            self.norm.build(shapes[0])
        if self.position_bias is not None:
            build_once(self.position_bias, shapes[0])
        if self.beside_first is not None:
            build_once(self.beside_first, shapes[0])
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
        for number, block in enumerate(self.running_blocks):
            entered = x
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
            if number == 0 and self.beside_first is not None:
                x = self.beside_first(entered, x, mask=token_mask(options.get("mask")))
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
        if self.beside_first is not None:
            return False
        if len(self.blocks) != self.num_layers:
            return False  # some run again, with the next state of their generators
        if not all(type(block) in LOOPED for block in self.blocks):
            return False
        if not all(map(_can_be_looped, self.blocks[0]._flatten_layers())):
            return False
        first, *others = (
            [(tuple(v.shape), v.dtype, v.trainable) for v in block.variables]
            for block in self.blocks
        )
        kinds = {(b.drop_path, b.attention_scale, b.window) for b in self.blocks}
        return len(kinds) == 1 and all(other == first for other in others)

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


def _can_be_looped(layer):
    """Whether a loop keeps all that a layer does: it forgets what `add_loss` was given
    and the running statistics of layers that users write."""
    is_ours = type(layer).__module__.startswith("keras_attention.")
    known = is_ours or type(layer) in PARTS_OF_LOOPED
    return known and layer.activity_regularizer is None

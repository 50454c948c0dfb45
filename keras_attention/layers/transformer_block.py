"""What the blocks of encoder and decoder share: their arguments and parts."""

import inspect
import itertools

import keras

from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import another
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import key_dim_of
from keras_attention.layers.base import token_mask
from keras_attention.layers.feed_forward import FeedForward
from keras_attention.layers.residual import NORM_ORDERS
from keras_attention.layers.residual import NORMS
from keras_attention.layers.residual import Residual

ATTENTION = ("attention", "cross_attention")
FEED_FORWARD = ("feed_forward",)
# What an option shapes: layers that the block makes, unless it is given another.
SHAPED = {
    "window": ("attention",),
    **dict.fromkeys(
        (
            "key_dim",
            "attention_dropout",
            "use_attention_bias",
            "attention_scale",
            "query_key_norm",
        ),
        ATTENTION,
    ),
    **dict.fromkeys(("activation", "mlp_dropout"), FEED_FORWARD),
    **dict.fromkeys(
        ("use_bias", "kernel_initializer", "output_initializer"),
        (*ATTENTION, *FEED_FORWARD),
    ),
}


class TransformerBlock(BaseLayer):
    """A layer made of residual branches of attention and feed-forward networks.

    Abstract.
    """

    # Whether a class has `cross_attention`, too. It checks its options itself.
    can_read_encoder = False

    def __init__(
        self,
        num_heads,
        mlp_dim,
        *,
        key_dim=None,
        activation="gelu",
        dropout=0.0,
        attention_dropout=0.0,
        mlp_dropout=0.0,
        drop_path=0.0,
        norm="layer_norm",
        norm_order="pre",
        epsilon=1e-6,
        layer_scale=None,
        use_bias=True,
        use_attention_bias=None,
        attention_scale=None,
        window=None,
        query_key_norm=None,
        kernel_initializer="glorot_uniform",
        output_initializer=None,
        attention=None,
        feed_forward=None,
        seed=None,
        **kwargs,
    ):
        # Keras would round the bias with the other inputs.
        super().__init__(autocast=False, **kwargs)
        check_positive(num_heads=num_heads, mlp_dim=mlp_dim)
        check_rate(
            dropout=dropout,
            attention_dropout=attention_dropout,
            mlp_dropout=mlp_dropout,
            drop_path=drop_path,
        )
        check_choice(NORMS, norm=norm)
        check_choice(NORM_ORDERS, norm_order=norm_order)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.key_dim = key_dim
        self.activation = activation
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.mlp_dropout = mlp_dropout
        self.drop_path = drop_path
        self.norm = norm
        self.norm_order = norm_order
        self.epsilon = epsilon
        self.layer_scale = layer_scale
        self.use_bias = use_bias
        self.use_attention_bias = (
            use_bias if use_attention_bias is None else use_attention_bias
        )
        self.attention_scale = attention_scale
        self.window = window
        self.query_key_norm = query_key_norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.attention = attention
        self.feed_forward = feed_forward
        self.seed = seed

        # With a seed, each dropout has its own, lest they drop the same places.
        self._seeds = itertools.repeat(None) if seed is None else itertools.count(seed)
        self._parts = itertools.count(0, 10)
        if not self.can_read_encoder:
            self.check_options()

    def check_options(self):
        """Refuses options that shape nothing, as all they could shape is given."""
        made = {"attention": self.attention, "feed_forward": self.feed_forward}
        if getattr(self, "use_cross_attention", False):
            made["cross_attention"] = self.cross_attention
        defaults = inspect.signature(TransformerBlock.__init__).parameters
        for option, parts in SHAPED.items():
            given = [part for part in parts if made.get(part) is not None]
            if not given or any(made.get(part, 0) is None for part in parts):
                continue
            default, value = defaults[option].default, getattr(self, option)
            if option == "use_attention_bias":
                default = self.use_bias
            if not _are_equal(value, default):
                if isinstance(value, keras.initializers.Initializer):
                    value = type(value).__name__
                raise ValueError(
                    f"`{option}` shapes a layer that the block makes, and it was given "
                    f"its own: {', '.join(f'`{part}`' for part in given)}. Received: "
                    f"{option}={value!r}. Leave it out, and give the option to the "
                    "layer that you pass."
                )

    def make_attention(self, kind, name, hidden_dim, window=None):
        """Makes an attention layer of the class `kind` with this block's options."""
        return kind(
            self.num_heads,
            key_dim_of(hidden_dim, self.num_heads, self.key_dim, self.name),
            use_bias=self.use_attention_bias,
            use_output_bias=self.use_bias,
            scale=self.attention_scale,
            window=window,
            query_key_norm=self.query_key_norm,
            dropout=self.attention_dropout,
            seed=next(self._seeds),
            dtype=self.dtype_policy,
            name=name,
            **self._initializers(),
        )

    def make_feed_forward(self):
        """Makes the feed-forward network, unless one was passed."""
        return self.feed_forward or FeedForward(
            self.mlp_dim,
            activation=self.activation,
            dropout=self.mlp_dropout,
            use_bias=self.use_bias,
            seed=next(self._seeds),
            dtype=self.dtype_policy,
            name="feed_forward",
            **self._initializers(),
        )

    def _initializers(self):
        """Those of the next part; with a seed, each part draws other values."""
        number = next(self._parts)
        return {
            "kernel_initializer": another(self.kernel_initializer, number),
            "output_initializer": another(self.output_initializer, number),
        }

    def make_residual(self, name, is_first=False):
        """Makes what stands around a branch."""
        return Residual(
            norm=self.norm,
            norm_order=self.norm_order,
            epsilon=self.epsilon,
            dropout=self.dropout,
            layer_scale=self.layer_scale,
            drop_path=self.drop_path,
            seeds=(next(self._seeds), next(self._seeds)),
            is_first=is_first,
            dtype=self.dtype_policy,
            name=f"{name}_residual",
        )

    def run_feed_forward(self, x, entered):
        """Runs the last branch.

        Args:
            x: `(B, T, D)`, the sum after the branches before.
            entered: `(B, T, D)`, what self-attention read.

        Returns:
            `(B, T, D)`.
        """
        if self.norm_order != "parallel":
            entered = self.mlp_residual.enter(x)
        return self.mlp_residual.leave(x, self.mlp(entered))

    def compute_mask(self, inputs, previous_mask):
        return token_mask(previous_mask)


def _are_equal(value, default):
    """Whether an option is what it is by default; initializers by what they draw."""
    if not isinstance(value, keras.initializers.Initializer):
        return value == default
    default = keras.initializers.get(default)
    return type(value) is type(default) and value.get_config() == default.get_config()

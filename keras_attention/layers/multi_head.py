"""What multi-head attention layers share: projections, heads, options.

Letters: B batch, T query length, S key length, N query heads, K key and value heads,
H width of a query and a key in one head, Hv width of a value in one head, D width of
the inputs.
"""

import functools
import itertools
import math

import keras
from keras import ops

from keras_attention.backend.products import at_least_float32
from keras_attention.backend.products import larger
from keras_attention.backend.projection import join_heads
from keras_attention.backend.projection import split_columns
from keras_attention.backend.projection import split_heads
from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_sequence
from keras_attention.layers.attention_layer import AttentionLayer
from keras_attention.layers.base import another
from keras_attention.layers.position_scores import build_for_heads
from keras_attention.layers.position_scores import scores_of_positions
from keras_attention.ops import window_mask
from keras_attention.ops.relative import add_biases

# The largest factor of cosine scores (Liu et al. 2022, arXiv:2111.09883, Section 3.3).
MAX_COSINE_SCALE = 100.0


class MultiHead(AttentionLayer):
    """An attention layer that reads with several heads in parallel.

    Abstract: `MultiHeadAttention` has separate queries and values,
    `MultiHeadSelfAttention` one input for both. Their arguments are the same.
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        *,
        value_dim=None,
        num_key_value_heads=None,
        output_dim=None,
        use_bias=True,
        use_output_bias=None,
        use_key_bias=None,
        dropout=0.0,
        window=None,
        softcap=None,
        use_sinks=False,
        use_gate=False,
        query_key_norm=None,
        rotary_embedding=None,
        position_scores=None,
        scale=None,
        kernel_initializer="glorot_uniform",
        output_initializer=None,
        seed=None,
        **kwargs,
    ):
        # Keras would round the bias with the other inputs; `project` rounds the rest.
        super().__init__(dropout=dropout, seed=seed, autocast=False, **kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = key_dim if value_dim is None else value_dim
        self.num_key_value_heads = (
            num_heads if num_key_value_heads is None else num_key_value_heads
        )
        check_positive(
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=self.value_dim,
            num_key_value_heads=self.num_key_value_heads,
        )
        if output_dim is not None:
            check_positive(output_dim=output_dim)
        if num_heads % self.num_key_value_heads:
            raise ValueError(
                "`num_key_value_heads` must divide `num_heads`, so that each group of "
                f"queries has one key. Received: num_heads={num_heads}, "
                f"num_key_value_heads={num_key_value_heads}"
            )
        check_choice(
            (None, "layer_norm", "rms_norm", "cosine"), query_key_norm=query_key_norm
        )
        if window is not None:
            window_mask(1, window=window)  # refuses what is no window
        self.output_dim = output_dim
        self.use_bias = use_bias
        self.use_output_bias = use_bias if use_output_bias is None else use_output_bias
        self.use_key_bias = use_bias if use_key_bias is None else use_key_bias
        if self.use_key_bias and not use_bias:
            raise ValueError(
                "A layer whose queries and values have no biases has none for its keys."
                " Received: use_bias=False, use_key_bias=True"
            )
        self.window = window
        self.softcap = softcap
        self.use_sinks = use_sinks
        self.use_gate = use_gate
        self.query_key_norm = query_key_norm
        self.rotary_embedding = rotary_embedding
        self.position_scores = position_scores
        self.scale = scale
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)

    def build_heads(self, query_width, key_width, value_width):
        """Makes the weights for inputs of the given widths."""
        self._build_projections((query_width, key_width, value_width))
        heads_width = self.num_heads * self.value_dim
        output_dim = query_width if self.output_dim is None else self.output_dim
        self.output_kernel = self._add_kernel(
            "output_kernel",
            heads_width,
            output_dim,
            initializer=another(self.output_initializer or self.kernel_initializer, 3),
        )
        self.output_bias = None
        if self.use_output_bias:
            self.output_bias = self._add_bias("output_bias", output_dim)
        if self.use_gate:
            self.gate_kernel = self._add_kernel(
                "gate_kernel",
                query_width,
                heads_width,
                initializer=another(self.kernel_initializer, 4),
            )
        if self.use_sinks:
            self.sinks = self._add_bias("sinks", self.num_heads, autocast=False)
        if self.query_key_norm == "cosine":
            self.log_scale = self.add_weight(
                shape=(self.num_heads, 1),
                initializer=keras.initializers.Constant(math.log(10.0)),
                autocast=False,
                name="log_scale",
            )
        elif self.query_key_norm is not None:
            norm = {
                "layer_norm": keras.layers.LayerNormalization,
                "rms_norm": keras.layers.RMSNormalization,
            }[self.query_key_norm]
            self.query_norm = norm(
                epsilon=1e-6, dtype=self.dtype_policy, name="query_norm"
            )
            self.key_norm = norm(epsilon=1e-6, dtype=self.dtype_policy, name="key_norm")
            self.query_norm.build((None, None, self.num_heads, self.key_dim))
            self.key_norm.build((None, None, self.num_key_value_heads, self.key_dim))
        if self.position_scores is not None:
            build_for_heads(
                self.position_scores,
                (None, None, self.num_heads, self.key_dim),
                (None, None, self.num_key_value_heads, self.key_dim),
            )
        self.built = True

    def _build_projections(self, widths):
        # Inputs of one width share a kernel, side by side, so that one product
        # projects inputs that are the same tensor.
        self.columns = (
            self.num_heads * self.key_dim,
            self.num_key_value_heads * self.key_dim,
            self.num_key_value_heads * self.value_dim,
        )
        self.projections = []  # (indices of query, key, value, name of kernel, bias)
        for width, group in itertools.groupby(range(3), key=lambda i: widths[i]):
            group = list(group)
            name = "_".join(("query", "key", "value")[i] for i in group)
            columns = [self.columns[i] for i in group]
            kernel = f"{name}_kernel"
            setattr(self, kernel, self._add_kernel(kernel, width, *columns))
            biased = [i for i in group if i != 1 or self.use_key_bias]
            bias = None
            if self.use_bias and biased:
                name = "_".join(("query", "key", "value")[i] for i in biased)
                size = sum(self.columns[i] for i in biased)
                bias = self._add_bias(f"{name}_bias", size)
            self.projections.append((group, kernel, bias))

    def _whole_bias(self, group, bias):
        """The bias of a kernel, with zeros for keys that have none."""
        if bias is None or self.use_key_bias or 1 not in group:
            return bias
        before = sum(self.columns[i] for i in group if i < 1)
        bias = ops.convert_to_tensor(bias)
        zeros = ops.zeros((self.columns[1],), bias.dtype)
        return ops.concatenate([bias[:before], zeros, bias[before:]])

    def _add_kernel(self, name, width, *columns, initializer=None):
        initializer = initializer or self.kernel_initializer

        def side_by_side(shape, dtype=None):
            # Each projection draws its own values, at the scale of its own size.
            parts = [
                another(initializer, i)((width, size), dtype=dtype)
                for i, size in enumerate(columns)
            ]
            return ops.concatenate(parts, axis=1)

        shape = (width, sum(columns))
        return self.add_kernel(name, shape, side_by_side)

    def _add_bias(self, name, size, **options):
        return self.add_weight((size,), initializer="zeros", name=name, **options)

    def _project(self, inputs):
        """Projects query, key and value, those that are the same tensor at once.

        What is `None` stays so.
        """
        projected = []
        for group, kernel, bias in self.projections:
            bias = self._whole_bias(group, bias)
            start = 0
            for run in _runs(group, inputs):
                end = start + sum(self.columns[i] for i in run)
                part = start, end
                start = end
                if inputs[run[0]] is None:
                    projected.extend([None] * len(run))
                    continue
                x = self.project(inputs[run[0]], getattr(self, kernel), bias, part)
                projected.extend(split_columns(x, [self.columns[i] for i in run]))
        return projected

    def adaptable_kernels(self):
        """What adapters can stand beside; see `training.add_lora`."""
        found = []
        for group, name, _ in self.projections:
            kernel, start = getattr(self, name), 0
            for i in group:
                end = start + self.columns[i]
                found.append((("query", "key", "value")[i], kernel, start, end))
                start = end
        found.append(("output", self.output_kernel, 0, self.output_kernel.shape[1]))
        return found

    def _query_heads(self, query, **positions):
        """Cuts projected queries into heads, `(B, T, N, H)`, normalized and turned."""
        query = split_heads(query, self.num_heads)
        if self.query_key_norm == "cosine":
            highest = math.log(MAX_COSINE_SCALE)
            log_scale = ops.convert_to_tensor(self.log_scale)  # (N, 1)
            temperature = ops.exp(ops.where(log_scale < highest, log_scale, highest))
            query = _unit(query) * ops.cast(temperature, query.dtype)
        elif self.query_key_norm is not None:
            query = self.query_norm(query)
        if self.rotary_embedding is not None:
            query = self.rotary_embedding(query, **positions)
        return query

    def _key_heads(self, key, **positions):
        """Cuts projected keys into heads, `(B, S, K, H)`, normalized and turned."""
        key = split_heads(key, self.num_key_value_heads)
        if self.query_key_norm == "cosine":
            key = _unit(key)
        elif self.query_key_norm is not None:
            key = self.key_norm(key)
        if self.rotary_embedding is not None:
            key = self.rotary_embedding(key, **positions)
        return key

    def _leave_heads(self, output, inputs):
        """Joins what the heads read, `(B, T, N, Hv)`, to outputs `(B, T, D)`."""
        output = join_heads(output)  # (B, T, N * Hv)
        if self.use_gate:
            output = output * ops.sigmoid(self.project(inputs, self.gate_kernel))
        return self.project(output, self.output_kernel, self.output_bias)

    def project_query(self, x):
        """Projects what is as wide as a query and cuts it into heads.

        Args:
            x: `(..., Dq)`.

        Returns:
            `(..., N, H)`.
        """
        return self._project_alone(0, x, self.num_heads)

    def project_key(self, x):
        """Projects what is as wide as a key and cuts it into heads.

        Args:
            x: `(..., Dk)`.

        Returns:
            `(..., K, H)`.
        """
        return self._project_alone(1, x, self.num_key_value_heads)

    def _project_alone(self, index, x, num_heads):
        inputs = [None, None, None]
        inputs[index] = x
        return split_heads(self._project(inputs)[index], num_heads)

    def attend_heads(
        self,
        query,
        key,
        value,
        *,
        positions,
        offset=0,
        **options,
    ):
        """Projects to heads, attends with each, and joins their outputs."""
        inputs, kind = query, "self" if query is value else "cross"
        if kind == "self":
            check_sequence(self.name, inputs=inputs)
        else:
            check_sequence(self.name, query=query, key=key, value=value)
        query, key, value = self._project((query, key, value))
        query_positions = positions
        if self.rotary_embedding is not None and not (
            isinstance(offset, int) and offset == 0
        ):
            query_positions = offset + ops.arange(ops.shape(query)[1], dtype="int32")
        output, weights = self.read_heads(
            self._query_heads(query, positions=query_positions),
            self._key_heads(key, positions=positions),
            split_heads(value, self.num_key_value_heads),  # (B, S, K, Hv)
            kind=kind,
            offset=offset,
            **options,
        )
        output = self._leave_heads(output, inputs)
        return (output, weights) if options["return_attention_scores"] else output

    def read_heads(
        self,
        query,
        key,
        value,
        *,
        kind,
        masks,
        bias,
        offset,
        use_causal_mask,
        return_attention_scores,
        training=False,
    ):
        """Lets heads of queries read those of keys and values, in `call` and `step`.

        Args:
            query: `(B, T, N, H)`, the first at the position `offset` among the keys.
            key: `(B, S, K, H)`.
            value: `(B, S, K, Hv)`.
            kind: `"self"` or `"cross"`, or `None` for what no recorder sees.
            masks: Boolean masks, or `None`s.
            bias: Added to the scores, or `None`.
            offset: An integer, or a tensor without axes.
            use_causal_mask: Whether a query reads only keys up to its own position.
            return_attention_scores: Whether to compute the weights.
            training: Whether weights are dropped.

        Returns:
            `(B, T, N, Hv)`, and the weights `(B, N, T, S)` or `None`.
        """
        scale = 1.0 if self.query_key_norm == "cosine" else None
        options = {"scale": scale if self.scale is None else self.scale}
        if self.position_scores is not None:
            scores = functools.partial(
                scores_of_positions,
                self.position_scores,
                offset=offset,
                attention=self,
            )
            if getattr(self.position_scores, "replaces_scores", False):
                options["score"] = scores
            else:
                added = scores(query, key)
                bias = add_biases(bias, added)
        result = self.attend(
            query,
            key,
            value,
            kind=kind,
            masks=masks,
            bias=bias,
            is_causal=use_causal_mask,
            window=self.window,
            offset=offset,
            softcap=self.softcap,
            sinks=self.sinks if self.use_sinks else None,
            return_attention_scores=return_attention_scores,
            training=training,
            **options,
        )
        return result if return_attention_scores else (result, None)


def _runs(group, inputs):
    """Splits indices into neighbours whose inputs are the same tensor."""
    runs = []
    for i in group:
        if runs and inputs[i] is inputs[runs[-1][0]]:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _unit(x):
    """Vectors of length 1; of zeros it leaves zeros, with a finite gradient."""
    wide = ops.cast(x, at_least_float32(x.dtype))
    square = ops.sum(ops.square(wide), axis=-1, keepdims=True)
    return ops.cast(wide * ops.rsqrt(larger(square, 1e-24)), x.dtype)

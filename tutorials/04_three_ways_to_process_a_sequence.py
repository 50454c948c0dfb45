# %% [markdown]
# # Three ways to process a sequence
#
# Command: `python tutorials/04_three_ways_to_process_a_sequence.py`, about two
# minutes on two CPU cores.
# Expected: recurrent network and attention name a letter however far back it stands,
# the convolution up to 4 tokens back; from 13 on it guesses. For 2048 tokens attention
# takes the most time, and some 500 MiB, or a few when it is computed tile by tile.
#
# A recurrent network reads a sequence step by step. A convolution slides over it, and
# sees a few neighbours. In self-attention each token reads all others. Each way gains
# something and pays for it: here with numbers, as the sequences grow.

# %% [markdown]
# ## Words that differ
#
# As in [the third tutorial](03_what_a_head_does.ipynb). All shapes are (B, T, D), where
# PyTorch's convolutions take (B, D, T), and its recurrent layers (T, B, D).
#
# | meaning | here | elsewhere |
# |---|---|---|
# | length of a sequence | T | L, N, n; S of what is read |
# | width of a token | D | C, channels; H, hidden size; d |
# | places that a convolution sees at once | `kernel_size` K | k, filter size |

# %%
import os
import pathlib
import re
import time

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention import layers
from keras_attention.ops import use_implementation

STEPS = int(os.environ.get("STEPS", 600))  # of each training, 32 sequences each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The equations
#
# Here is one layer of each kind in NumPy, for one sequence x of T tokens of width D.
#
# - **Recurrent**: a state h goes along, $h_t = \tanh(x_t W + h_{t-1} U)$. Step t must
#   wait for step t - 1.
# - **Convolution**: each place sees the K tokens that end at it,
#   $y_t = \sum_{j<K} x_{t-j} \, W_j$. All places can be computed at once.
# - **Self-attention**: each place reads all,
#   $y = \text{softmax}(q k^\top / \sqrt{H}) \, v$, also at once, by T x T weights.


# %%
def recurrent(x, W, U):
    states = [np.zeros(len(U))]
    for token in x:
        states.append(np.tanh(token @ W + states[-1] @ U))
    return np.array(states[1:])  # (T, D)


def convolution(x, W):  # W: (K, D, D), the first for the oldest token
    padded = np.concatenate([np.zeros((len(W) - 1, x.shape[1])), x])
    return sum(padded[j : j + len(x)] @ W[j] for j in range(len(W)))  # (T, D)


def self_attention(x, W_q, W_k, W_v):
    query, key, value = x @ W_q, x @ W_k, x @ W_v
    scores = query @ key.T / np.sqrt(key.shape[1])  # (T, T)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ value  # (T, H)


# %% [markdown]
# The same through the libraries:

# %%
T, D, K, U = 6, 4, 3, 5
x = rng.normal(size=(T, D)).astype("float32")


def check(layer, weights, by_hand):
    layer.build((1, T, D))
    layer.set_weights(weights)
    output = ops.convert_to_numpy(layer(x[None]))[0]
    np.testing.assert_equal(output.shape, by_hand.shape)
    np.testing.assert_allclose(output, by_hand, rtol=1e-4, atol=1e-5)
    print(f"{layer.name:15} {output.shape}, as by hand")


W, U_ = rng.normal(size=(D, U)), rng.normal(size=(U, U))
layer = keras.layers.SimpleRNN(U, return_sequences=True, use_bias=False, name="rnn")
check(layer, [W, U_], recurrent(x, W, U_))

W = rng.normal(size=(K, D, U))
layer = keras.layers.Conv1D(U, K, padding="causal", use_bias=False, name="convolution")
check(layer, [W], convolution(x, W))

W_q, W_k, W_v = rng.normal(size=(3, D, D))
layer = layers.MultiHeadSelfAttention(1, D, use_bias=False, name="self_attention")
together = np.concatenate([W_q, W_k, W_v], axis=1)  # the last product changes nothing
check(layer, [together, np.eye(D)], self_attention(x, W_q, W_k, W_v))

# %% [markdown]
# ## How far it is
#
# For the last place to know of the first, what was read must pass through all steps of
# the recurrent network, through a layer of the convolution for every K - 1 places, but
# through one layer of attention only. The longer the **path**, the more is lost on it.
#
# We measure that on layers that have not learned anything: change one token, and see
# how much the last output changes. All have width 64. Of convolutions there are six
# layers, of self-attention one block.

# %%
WIDTH, KERNEL, DEPTH, LENGTH = 64, 3, 6, 64


def process(kind, x):
    """One of the three ways, (B, T, D) to (B, T, D); no place reads what follows it."""
    if kind == "recurrent":
        return keras.layers.GRU(WIDTH, return_sequences=True)(x)
    if kind == "convolution":
        for _ in range(DEPTH):
            y = keras.layers.LayerNormalization()(x)
            y = keras.layers.Conv1D(WIDTH, KERNEL, padding="causal")(y)
            x = x + ops.relu(y)
        return x
    block = layers.TransformerEncoderBlock(num_heads=4, mlp_dim=128)
    return layers.TransformerEncoder(block, num_layers=1)(x, use_causal_mask=True)


KINDS = {"recurrent": "o-", "convolution": "s--", "self-attention": "^:"}
DISTANCES = [1, 2, 4, 8, 12, 16, 32, 48, 63]
x = rng.normal(size=(32, LENGTH, WIDTH)).astype("float32")
another = rng.normal(size=(32, WIDTH)).astype("float32")
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
print("tokens back    ", *(f"{distance:7}" for distance in DISTANCES))
for kind, style in KINDS.items():
    inputs = keras.Input((LENGTH, WIDTH))
    model = keras.Model(inputs, process(kind, inputs))
    last = model.predict(x, verbose=0)[:, -1]  # (B, D)
    changes = []
    for distance in DISTANCES:
        changed = x.copy()
        changed[:, LENGTH - 1 - distance] = another
        moved = model.predict(changed, verbose=0)[:, -1] - last
        changes.append(np.linalg.norm(moved) / np.linalg.norm(last))
    print(f"{kind:15}", *(f"{change:7.0e}" for change in changes))
    axes.plot(DISTANCES, changes, style, label=kind)
axes.set_yscale("log")
axes.set_xlabel("tokens back")
axes.set_ylabel("change of the last output")
_ = axes.legend()

# %% [markdown]
# In the recurrent network the change fades with every step, until after some thirty
# tokens only rounding is left of it. The six convolutions see 6 x (3 - 1) = 12 tokens
# back, and beyond that nothing at all, an exact zero. To attention all tokens are
# equally near.

# %% [markdown]
# ## What that means for learning
#
# A row of small letters, and somewhere in it one capital. After the last letter comes a
# question mark, and the model is to name the capital, from 1 to 63 tokens back. Each is
# trained on sequences that it has not seen before.

# %%
SMALL = "abcdefgh"
SIGNS = SMALL + SMALL.upper() + "?"


def make_sequences(count):
    """Token ids (B, T), which letter is the capital, and how far back it stands."""
    token_ids = rng.integers(8, size=(count, LENGTH))
    places = rng.integers(LENGTH - 1, size=count)
    answers = token_ids[np.arange(count), places]
    token_ids[np.arange(count), places] += 8
    token_ids[:, -1] = 16
    return token_ids.astype("int32"), answers, LENGTH - 1 - places


def build(kind):
    token_ids = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(len(SIGNS), WIDTH)(token_ids)  # (B, T, D)
    x = process(kind, x)[:, -1]  # (B, D), what the last place knows
    return keras.Model(token_ids, keras.layers.Dense(8)(x))


def train(model):
    rate = keras.optimizers.schedules.CosineDecay(0.003, decay_steps=STEPS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
    inputs, answers = training[:2]
    start = time.perf_counter()
    model.fit(inputs, answers, batch_size=32, verbose=0)  # each sequence once
    seconds = time.perf_counter() - start
    print(f"{model.count_params():,} parameters, {seconds:.0f} seconds")


training = make_sequences(STEPS * 32)
token_ids, answers, distances = make_sequences(min(4000, 64 * STEPS))
print("".join(SIGNS[token_id] for token_id in token_ids[0]), "->", SMALL[answers[0]])

BINS = np.arange(1, LENGTH, 4)  # 1 to 4 tokens back, 5 to 8, ...
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for kind, style in KINDS.items():
    model = build(kind)
    print(f"{kind:15}", end=" ")
    train(model)
    right = model.predict(token_ids, verbose=0).argmax(axis=-1) == answers
    rates = [right[(low <= distances) & (distances < low + 4)].mean() for low in BINS]
    print("  right", *(f"{rate:.0%}" for rate in rates))
    axes.plot(BINS + 1.5, rates, style, label=kind)
axes.axhline(1 / 8, color="grey", linewidth=0.8)
axes.set_xlabel("how far back the capital stands")
axes.set_ylabel("right")
axes.set_ylim(0, 1.05)
_ = axes.legend()

# %% [markdown]
# The convolution names the capitals near the end. It could see 12 tokens back, but of
# what stands at the edge of its view it makes little: one path leads there, and many to
# what is near. Beyond the edge it guesses, right once in eight. Self-attention reads
# the one token that matters, wherever it is. It needs no positions for that: the text
# may well be a set.
#
# The recurrent network learns it as well, although it began by forgetting all after
# thirty tokens: the gates of a GRU can learn to hold on, from capitals near the end
# first, then from farther ones. One letter is little to hold. A whole sentence is much,
# and [the first tutorial](01_additive_attention.ipynb) shows what becomes of that.

# %% [markdown]
# ## Time and memory
#
# One layer of each kind, two sequences of width 64, one step of training: the outputs,
# the gradients, new weights. Memory is what the process holds at most beyond what it
# held before, so little shows as nothing.
#
# Self-attention is there twice. Computed as the equation says, it keeps a weight for
# each pair of places and each head, N x T x T of them. Left to itself the library
# computes what is large tile by tile, and never holds all weights at once.

# %%
LENGTHS = [128, 256, 512, 1024, 2048][: 5 if STEPS > 10 else 2]
STATUS = pathlib.Path("/proc/self/status")  # of this process, on Linux


def memory(field):
    """What this process holds (VmRSS), or has held at most (VmHWM), in MiB."""
    if not STATUS.exists():
        return float("nan")
    return int(re.search(rf"{field}:\s+(\d+)", STATUS.read_text())[1]) / 1024


def build_layer(kind, length):
    inputs = keras.Input((length, WIDTH))
    if kind == "recurrent":
        layer = keras.layers.GRU(WIDTH, return_sequences=True)
    elif kind == "convolution":
        layer = keras.layers.Conv1D(WIDTH, KERNEL, padding="causal")
    else:
        layer = layers.MultiHeadSelfAttention(num_heads=4, key_dim=WIDTH // 4)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    return model


def measure(kind, length):
    """Milliseconds and MiB of a step of training."""
    x = rng.normal(size=(2, length, WIDTH)).astype("float32")
    model = build_layer(kind, length)
    model.train_on_batch(x, x)  # compiles
    seconds = []
    if STATUS.exists():
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = memory("VmRSS")
    for _ in range(5):
        start = time.perf_counter()
        model.train_on_batch(x, x)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds), memory("VmHWM") - before


COLUMNS = {
    "recurrent": "o-",
    "convolution": "s--",
    "self-attention": "^:",
    "as the equation": "v-.",
}
costs = {}
for kind in COLUMNS:
    way = "explicit" if kind == "as the equation" else None
    with use_implementation(way):
        costs[kind] = np.array([measure(kind, length) for length in LENGTHS])
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for i, unit in enumerate(("milliseconds", "MiB")):
    print(f"{unit:15}", *(f"{length:7}" for length in LENGTHS))
    for kind, style in COLUMNS.items():
        print(f"{kind:15}", *(f"{cost:7.1f}" for cost in costs[kind][:, i]))
        axes[i].plot(LENGTHS, costs[kind][:, i], style, label=kind)
    axes[i].set_xscale("log", base=2)
    axes[i].set_xlabel("length of the sequences")
    axes[i].set_ylabel(unit)
axes[0].set_yscale("log")
_ = axes[0].legend()

# %% [markdown]
# Recurrent network and convolution cost at most in proportion to the length,
# self-attention in the end to its square: twice the tokens, three to four times the
# time. In short sequences that does not show. Its memory grows with the square too, if
# all weights are held. Tile by tile it does not, and the time is less, but still the
# square's.
#
# The steps of the recurrent network wait for each other. On two cores that costs
# little, since little is done at the same time there. On a GPU with thousands of cores
# it is what counts, and what Transformers were made to avoid.

# %% [markdown]
# ## Side by side
#
# Per layer, with T tokens of width D, a convolution of K places, attention of N heads
# (Vaswani et al. 2017, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762), Table 1):
#
# | | recurrent | convolution | self-attention |
# |---|---|---|---|
# | knows the order | yes | yes | no: positions must tell it |
# | steps that must wait for each other | T | 1 | 1 |
# | layers until all is seen | 1 | (T - 1) / (K - 1) | 1 |
# | steps from the first token to the last | T | (T - 1) / (K - 1) | 1 |
# | operations grow like | T D² | K T D² | T D² + T² D |
# | numbers to keep | T D | T D | T D, and N T² if written down |
#
# No row has one winner in all columns, and so all three are in use: and they are
# combined, convolutions where neighbours matter, attention where the far does.
#
# ## Exercises
#
# 1. How many layers would the convolution need for all 64 tokens? Try, or double the
#    distance between the places that it sees in every layer (`dilation_rate=2**i`).
# 2. Train longer, with `STEPS=3000`. Who gains from it, and at which distance?
# 3. Put two capitals into the text, and ask for the first. Which model needs positions
#    now?
# 4. Let attention read at most 12 tokens back (`window=(12, 0)`). Whom is it like now?
#    Measure its time at 2048 tokens.
# 5. Measure the times on a GPU. Which curve changes most?
#
# ## Where it is in the library
#
# - `keras_attention.layers.MultiHeadSelfAttention` is the attention; `window` makes it
#   local, and its cost linear.
# - `keras_attention.ops.attend` chooses how to compute, and
#   `keras_attention.ops.use_implementation` overrules it:
#   [how attention is computed](../docs/how_attention_is_computed.md).
# - Recurrent networks and convolutions are Keras's own.

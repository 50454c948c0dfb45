# %% [markdown]
# # Convolution inside attention
#
# Command: `python tutorials/13_convolution_inside_attention.py`, about two minutes on
# two CPU cores.
# Expected: self-attention with nine heads gives what a convolution of 3 × 3 gives, to
# 1e-5, with weights set by hand, and learns to do so, all of it; with four heads two
# fifths and more stay unexplained.
#
# A convolution reads its neighborhood, the same one everywhere. Attention reads what
# it likes, wherever it is. Is the first a case of the second? Cordonnier, Loukas and
# Jaggi 2020 ([arXiv:1911.03584](https://arxiv.org/abs/1911.03584)) proved it: **heads
# that look at fixed offsets are a convolution.** So a Vision Transformer can learn to
# be one, where data tells it to.

# %% [markdown]
# ## Words that differ
#
# | meaning | here | elsewhere |
# |---|---|---|
# | how far a key is from its query | offset, in rows and columns | shift; δ = k − q |
# | the offset that a head likes | `centers` | attention center, Δ |
# | how little it likes others | `head_sharpness`, squared | α, 1 / variance |
# | before the softmax | scores | logits, A |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.layers import GaussianSelfAttention2D
from keras_attention.visualization import attention_maps
from keras_attention.visualization import receptive_field

STEPS = int(os.environ.get("STEPS", 1500))  # of each training, 32 pictures each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## A convolution, written as heads
#
# A convolution of 3 × 3 adds up nine products. For each place of its kernel, a vector
# of the picture, one offset away, meets a matrix of its own:
#
# $$y_t = b + \sum_{\delta \in \{-1, 0, 1\}^2} x_{t + \delta} \, W_\delta$$
#
# Multi-head attention adds up products, too: for each head, the mean of what it reads
# meets the rows of the output's matrix that belong to the head:
#
# $$y_t = b + \sum_n \Big( \sum_s \alpha_{n, t, s} \, x_s \Big) W_n$$
#
# These are the same, once head n reads one place only, the one at its own offset.
# Scores that do that are a parabola over the offsets, as narrow as one likes:
#
# $$\alpha_{n, t} = \text{softmax}_s(- a_n^2 \, | s - t - \Delta_n |^2)$$


# %%
def heads_by_hand(image, centers, sharpness):
    """What each head reads of a picture `(R, C, D)` with zeros around, (N, R, C, D)."""
    R, C, D = image.shape
    padded = np.pad(image, [(1, 1), (1, 1), (0, 0)])
    places = np.indices((R, C)).reshape(2, -1).T  # (T, 2)
    keys = np.indices((R + 2, C + 2)).reshape(2, -1).T - 1  # (S, 2)
    offsets = keys[None] - places[:, None]  # (T, S, 2)
    apart = offsets - np.array(centers)[:, None, None]  # (N, T, S, 2)
    scores = -(sharpness**2) * (apart**2).sum(-1)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return (weights @ padded.reshape(-1, D)).reshape(len(centers), R, C, D)


# %% [markdown]
# A case to check by hand: the numbers from 1 to 6. A sharp head with the center (0, 1)
# reads what is one column to the right; where the picture ends it reads a zero.

# %%
picture = np.arange(1.0, 7.0).reshape(2, 3, 1)
print(picture[..., 0].astype(int).tolist())
for sharpness in (7.0, 1.0, 0.3):
    (read,) = heads_by_hand(picture, [[0, 1]], sharpness)
    print(f"sharpness {sharpness}", np.abs(read[..., 0]).round(2).tolist())

# %% [markdown]
# ## The same numbers as `Conv2D`
#
# The library's layer is `GaussianSelfAttention2D`, named after the shape of its
# weights. `set_to_convolution` gives its nine heads the offsets of a kernel, and its
# matrix the kernel, laid out anew; nothing is trained.

# %%
R, C, D, E = 7, 9, 3, 4
images = rng.normal(size=(2, R, C, D)).astype("float32")
convolution = keras.layers.Conv2D(E, 3, padding="same")
expected = ops.convert_to_numpy(convolution(images))

layer = GaussianSelfAttention2D(num_heads=9, output_dim=E)
layer.build(images.shape)
layer.set_to_convolution(convolution)
output, weights = layer(images, return_attention_scores=True)
print("difference:", np.abs(ops.convert_to_numpy(output) - expected).max())
print("weights:", tuple(weights.shape), "= (B, heads, places, places with zeros)")

by_hand = heads_by_hand(images[0], ops.convert_to_numpy(layer.centers), 7.0)
kernel = ops.convert_to_numpy(convolution.kernel).reshape(9, D, E)
summed = np.einsum("nrcd,nde->rce", by_hand, kernel)
np.testing.assert_allclose(summed, expected[0], atol=1e-4)

# %% [markdown]
# ## Does training find it?
#
# That weights exist does not say that they are found. So a convolution of 3 × 3 with
# random weights is hidden, and the layer sees only pictures of noise and what the
# convolution made of them. Its nine heads begin at random offsets, with a sharpness of
# 1: each reads a blurred neighborhood.


# %%
hidden = keras.layers.Conv2D(
    8, 3, padding="same", use_bias=False, kernel_initializer="random_normal"
)
training = rng.normal(size=(512, 8, 8, D)).astype("float32")
testing = rng.normal(size=(128, 8, 8, D)).astype("float32")
answers, test_answers = (
    ops.convert_to_numpy(hidden(x)) * 10 for x in (training, testing)
)


class Watch(keras.callbacks.Callback):
    """Keeps where the heads are after each epoch."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.centers = [ops.convert_to_numpy(layer.centers)]
        self.sharpness = [ops.convert_to_numpy(layer.head_sharpness)]

    def on_epoch_end(self, epoch, logs=None):
        self.centers.append(ops.convert_to_numpy(self.layer.centers))
        self.sharpness.append(ops.convert_to_numpy(self.layer.head_sharpness))


def learn(num_heads, seed=0):
    """Trains a layer; its share of unexplained variance, and where its heads were."""
    keras.utils.set_random_seed(seed)
    layer = GaussianSelfAttention2D(num_heads, output_dim=8, use_bias=False)
    model = keras.Sequential([keras.Input(training.shape[1:]), layer])
    rate = keras.optimizers.schedules.CosineDecay(0.03, STEPS)
    model.compile(keras.optimizers.Adam(rate), "mse")
    watch = Watch(layer)
    epochs = max(1, STEPS * 32 // len(training))
    model.fit(
        training, answers, batch_size=32, epochs=epochs, verbose=0, callbacks=[watch]
    )
    missed = model.evaluate(testing, test_answers, verbose=0) / test_answers.var()
    return model, missed, watch


model, missed, watch = learn(9)
print(f"not explained: {missed:.2%}")
print(" row  column  sharpness")
for (row, column), sharp in zip(watch.centers[-1], watch.sharpness[-1], strict=True):
    print(f"{row:5.2f} {column:6.2f} {abs(sharp):9.2f}")

# %%
figure, axis = plt.subplots(figsize=(5, 5), layout="constrained")
paths = np.stack(watch.centers)  # (epochs, heads, 2)
for head in range(9):
    (line,) = axis.plot(paths[:, head, 1], paths[:, head, 0], linewidth=1)
    axis.plot(*paths[0, head, ::-1], "o", color=line.get_color(), markersize=4)
    wide = 12 / abs(watch.sharpness[-1][head])
    axis.plot(*paths[-1, head, ::-1], "o", color=line.get_color(), markersize=wide)
axis.set_xticks([-2, -1, 0, 1, 2])
axis.set_yticks([-2, -1, 0, 1, 2])
axis.grid(color="lightgray")
axis.invert_yaxis()
axis.set_xlabel("columns to the right")
axis.set_ylabel("rows below")
axis.set_title("nine heads at first (small) and trained (the wider, the less sharp)")
axis.set_aspect("equal")

# %% [markdown]
# Nothing is left to explain, and yet most heads are not where the places of the kernel
# are: they have spread out over the square and read mixtures of its places. Is that a
# convolution, too? Nine mixtures that differ are as good as the nine places, since the
# matrix $W$ is learned with them, and takes them apart again:
#
# $$W_\delta = \sum_n \alpha_{n, \delta} \, W_n$$
#
# ## See it
#
# `attention_maps` sees the weights of any model. Those of the place in the middle, by
# offset, with the matrices of the heads, give the kernel that the layer amounts to.

# %%
(found,) = attention_maps(model, testing[:1]).values()
middle = found.weights[0, :, 4 * 8 + 4].reshape(9, 10, 10)  # with zeros around
near = middle[:, 4:7, 4:7]  # offsets from -1 to 1
matrices = ops.convert_to_numpy(model.layers[0].kernel).reshape(9, D, 8)
amounts_to = np.einsum("nrc,nde->rcde", near, matrices)
wanted = 10 * ops.convert_to_numpy(hidden.kernel)
print(f"largest number of the kernel {np.abs(wanted).max():.3f}")
print(f"largest difference           {np.abs(amounts_to - wanted).max():.3f}")

figure, axes = plt.subplots(3, 3, figsize=(5, 5), layout="constrained")
order = np.lexsort(watch.centers[-1].round().T[::-1])
for axis, head in zip(axes.flat, order, strict=True):
    axis.imshow(middle[head], cmap="magma", vmin=0, vmax=1)
    axis.plot(5, 5, "c+")
    axis.set_xticks([], [])
    axis.set_yticks([], [])

# %% [markdown]
# And from outside: the pixels that bear on this place are those of a convolution.

# %%
fields = {
    "the hidden convolution": receptive_field(hidden, testing[:32], (4, 4)),
    "attention, at first": receptive_field(
        GaussianSelfAttention2D(9, output_dim=8), testing[:32], (4, 4)
    ),
    "attention, trained": receptive_field(model, testing[:32], (4, 4)),
}
figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained")
for axis, (name, field) in zip(axes, fields.items(), strict=True):
    axis.imshow(field, cmap="magma")
    axis.set_title(name)
    axis.set_xticks([], [])
    axis.set_yticks([], [])
    square = field[3:6, 3:6].sum()
    print(f"{name:24} {square:.1%} of the gradient within 3 x 3")

# %% [markdown]
# ## What goes wrong without it
#
# **With fewer heads than places** attention can only read some of the places, or blur
# several into one. How much does each head explain?

# %%
counts = (1, 2, 4, 6, 9, 12)
shares = {count: missed if count == 9 else learn(count)[1] for count in counts}
for count, share in shares.items():
    print(f"{count:2} heads: {share:6.1%} not explained")

# %%
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.plot(counts, list(shares.values()), marker="o")
axis.plot([1, 9], [8 / 9, 0], color="gray", linestyle=":", label="a ninth for each")
axis.set_xlabel("heads")
axis.set_ylabel("variance not explained")
axis.legend()

# %% [markdown]
# With random weights each place of the kernel matters alike, so one head could read a
# ninth. It does a little better, by reading the mixture that matters most.
#
# What the picture does not show: that a Vision Transformer has such heads. It is told
# the positions of its patches, not their offsets, and has to learn from data that
# neighbors matter; with much data, heads of its first layers do look at fixed offsets.
# With little data a convolution, which was born with them, is ahead.
#
# ## Exercises
#
# 1. Begin with a sharpness of 0.1, and of 5. Which of both does not learn, and why?
# 2. Hide a convolution with a dilation of 2. How large must `padding` be?
# 3. Hide one of 5 × 5 whose kernel is a bell curve. How few heads are enough, and how
#    sharp are they?
# 4. Give `MultiHeadSelfAttention` a `RelativePositionBias2D` as its `position_scores`.
#    It can learn any offset, too. Which of both needs more examples?
# 5. Put the layer in place of the first convolution of a small network for digits, and
#    watch its heads.
#
# ## Where it is in the library
#
# - `keras_attention.layers.GaussianSelfAttention2D` with `set_to_convolution`.
# - The other way round, convolutions that choose where they read:
#   `keras_attention.layers.DeformableConv2D`; and attention to few points of large
#   maps: `keras_attention.layers.DeformableAttention`.
# - `keras_attention.visualization.receptive_field` measures what a network sees;
#   `tutorials/how_far_networks_see.py` does it for four networks.

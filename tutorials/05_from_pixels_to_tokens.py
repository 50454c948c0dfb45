# %% [markdown]
# # From pixels to tokens
#
# Command: `python tutorials/05_from_pixels_to_tokens.py`, about two minutes on two CPU
# cores.
# Expected: a ViT reads more than 99 % of the left ones of two digits; one whose
# positions are taken away less than half of them.
#
# A Transformer reads sequences of vectors. To let it read a picture, Dosovitskiy et al.
# 2021 ([arXiv:2010.11929](https://arxiv.org/abs/2010.11929)) cut it into patches, make
# a vector of each, and change nothing else.

# %% [markdown]
# ## Words that differ
#
# | meaning | here | elsewhere |
# |---|---|---|
# | a patch as a vector | token, of width `hidden_dim` D | patch embedding; embed_dim |
# | a learned token in front | class token | CLS, cls_token |
# | how many patches | N = rows × columns | num_patches, HW / P² |
# | after the softmax | **weights** | attention; Keras: `attention_scores` |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention import layers
from keras_attention.applications import ViT
from keras_attention.visualization import attention_maps
from keras_attention.visualization import rollout
from keras_attention.visualization import show_patches
from keras_attention.visualization import show_positions

STEPS = int(os.environ.get("STEPS", 500))  # of each training, 64 pictures each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Patches as tokens
#
# Cut a picture of height, width and channels (H, W, C) into patches of P × P pixels,
# and lay the pixels of each behind each other. That is a sequence of N = HW / P²
# vectors, and a matrix makes tokens of them:
#
# $$x_n = \text{patch}_n \, W + b \qquad W: (P \, P \, C, \; D)$$


# %%
def cut(images, size):
    """Pictures `(B, H, W, C)` as patches `(B, N, P * P * C)`."""
    B, H, W, C = images.shape
    x = images.reshape(B, H // size, size, W // size, size, C)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, size * size * C)


# %% [markdown]
# A case to check by hand: the numbers from 0 to 15 as a picture, in patches of 2 × 2.

# %%
picture = np.arange(16.0).reshape(1, 4, 4, 1)
print(picture[0, :, :, 0].astype(int))
print("patches", cut(picture, 2)[0].astype(int).tolist())

# %% [markdown]
# The library's layer does the same, and **so does a convolution** whose kernel is as
# large as a patch and whose stride is, too: it meets each patch once and multiplies it
# by the same W, seen as a kernel of the shape (P, P, C, D). All sizes differ.

# %%
B, P, C, D = 2, 4, 3, 5
images = rng.normal(size=(B, 8, 12, C)).astype("float32")
layer = layers.PatchEmbedding(D, patch_size=P)
tokens = ops.convert_to_numpy(layer(images))
np.testing.assert_equal(tokens.shape, (B, 2 * 3, D))

kernel, bias = (ops.convert_to_numpy(weight) for weight in layer.weights)
by_hand = cut(images, P) @ kernel.reshape(P * P * C, D) + bias
convolution = keras.layers.Conv2D(D, kernel_size=P, strides=P)
convolution.build(images.shape)
convolution.set_weights([kernel, bias])
strided = ops.convert_to_numpy(convolution(images)).reshape(B, -1, D)
for name, other in {"by hand": by_hand, "strided convolution": strided}.items():
    np.testing.assert_allclose(tokens, other, rtol=1e-4, atol=1e-4)
    print(f"{name:20} largest difference {np.abs(tokens - other).max():.0e}")

# %% [markdown]
# ## The problem: which digit is the left one?
#
# Two digits of 10 × 6 pixels, one somewhere in the left half of a picture of 16 × 24,
# one somewhere in the right half, and noise. Asked for is **the left one**. We draw
# them, so we know where each stands. And we know what a bag of patches can tell at
# best: which two digits there are. Of two that differ it has to guess one, which is
# right in half of the cases; with one picture in ten where both are the same, that
# makes 55 %.

# %%
DRAWN = """
### ..# ### ### #.# ### ### ### ### ###
#.# ..# ..# ..# #.# #.. #.. ..# #.# #.#
#.# ..# ### ### ### ### ### ..# ### ###
#.# ..# #.. ..# ..# ..# #.# ..# #.# ..#
### ..# ### ### ..# ### ### ..# ### ###
"""
ROWS = [row.split() for row in DRAWN.strip().split("\n")]
GLYPHS = np.array(
    [[[mark == "#" for mark in row[digit]] for row in ROWS] for digit in range(10)]
)
GLYPHS = GLYPHS.repeat(2, axis=1).repeat(2, axis=2)  # (10, 10, 6)
HEIGHT, WIDTH, PATCH = 16, 24, 4
GRID = HEIGHT // PATCH, WIDTH // PATCH


def draw(count):
    """Pictures `(count, 16, 24, 1)`, the left digits, and where these are."""
    digits = rng.integers(0, 10, size=(count, 2))
    tops, lefts = 2 * rng.integers(0, 4, size=(2, count, 2))
    places = np.zeros((count, 2, HEIGHT, WIDTH), bool)
    for i, side in np.ndindex(count, 2):
        top, left = tops[i, side], lefts[i, side] + 12 * side
        places[i, side, top : top + 10, left : left + 6] = GLYPHS[digits[i, side]]
    images = 2.0 * places.any(axis=1) - 1
    images += rng.normal(scale=0.3, size=images.shape)
    return images[..., None].astype("float32"), digits[:, 0], places[:, 0]


training = draw(64 * STEPS)
images, digits, places = draw(min(1000, 64 * STEPS))
figure, axes = plt.subplots(1, 6, figsize=(10, 1.5), layout="constrained")
for panel, image, digit in zip(axes, images, digits, strict=False):
    panel.imshow(image[:, :, 0], cmap="Greys_r")
    panel.set_xticks(np.arange(-0.5, WIDTH, PATCH), [])
    panel.set_yticks(np.arange(-0.5, HEIGHT, PATCH), [])
    panel.grid(color="tab:orange", linewidth=0.6)
    panel.tick_params(length=0)
    panel.set_title(digit)

# %% [markdown]
# ## The model
#
# `ViT` as in the paper, only smaller. A learned **class token** stands in front of the
# 24 patches; in each block it reads them, and from what it has gathered in the end the
# digit is told. Each of the 25 tokens has a learned position, a vector that is added.


# %%
def build():
    return ViT(
        image_size=(HEIGHT, WIDTH),
        patch_size=PATCH,
        num_channels=1,
        hidden_dim=64,
        num_layers=3,
        num_heads=4,
        mlp_dim=128,
        num_classes=10,
    )


def train(model):
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, STEPS, warmup_target=0.002, warmup_steps=max(STEPS // 10, 1)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss)
    model.fit(*training[:2], batch_size=64, verbose=0)


def read_right(model, images):
    logits = model.predict(images, verbose=0)
    return np.mean(logits.argmax(axis=-1) == digits)


model = build()
print(f"parameters {model.count_params():,}")
train(model)
print(f"read right: {read_right(model, images):.1%}")

# %% [markdown]
# ## A picture is a set, but for its positions
#
# Nothing in a Transformer knows that a patch is above another one. Only the positions
# tell. So we train the same model with positions that are zero and stay so, and cut the
# pictures into patches, shuffle these, and put them together again.

# %%
without = build()
positions = without.get_layer("position_embedding")
positions.table.assign(np.zeros(positions.table.shape))
positions.trainable = False
train(without)


def shuffle(images):
    """Puts the patches of all pictures into one other order."""
    order = np.random.default_rng(1).permutation(GRID[0] * GRID[1])
    x = cut(images, PATCH)[:, order].reshape(-1, *GRID, PATCH, PATCH, 1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)


shuffled = shuffle(images)
print(f"{'':18} pictures  shuffled  largest change of a logit")
for name, each in {"with positions": model, "without positions": without}.items():
    right = [read_right(each, x) for x in (images, shuffled)]
    logits = [each.predict(x, verbose=0) for x in (images, shuffled)]
    change = np.abs(logits[0] - logits[1]).max()
    print(f"{name:18} {right[0]:8.1%} {right[1]:9.1%}  {change:.0e}")

# %% [markdown]
# Without positions a picture and the same one in pieces are the same to the model: its
# logits differ only by rounding, and it comes no further than a bag of patches can.
# With positions the shuffled picture is another one, and the model is lost in it.
#
# What has it learned about positions? We compare each position with all others, by the
# cosine of the angle between them: a map for each of the 4 × 6 patches.

# %%
table = ops.convert_to_numpy(model.get_layer("position_embedding").table)
show_positions(table[1:], grid=GRID).figure()

# %% [markdown]
# Nobody told the model that there are rows and columns, or halves. It has learned what
# the question needs. The two halves are opposite to each other. In the left one, rows
# that are near are alike and rows that are far are not, and each patch is most like
# itself; in the right one, which never matters, all are nearly the same. (Where every
# patch matters, neighbours are alike everywhere: the paper's Figure 7.) In numbers:

# %%
unit = table[1:] / np.linalg.norm(table[1:], axis=1, keepdims=True)
similar = unit @ unit.T  # (N, N)
row, column = np.divmod(np.arange(GRID[0] * GRID[1]), GRID[1])
apart = np.abs(row[:, None] - row) + np.abs(column[:, None] - column)
for distance in range(1, 7):
    print(f"{distance} patches apart: {similar[apart == distance].mean():+.2f}")
half = column // 3
same = similar[(half[:, None] == half) & (apart > 0)].mean()
print(f"same half {same:+.2f}, the other {similar[half[:, None] != half].mean():+.2f}")

# %% [markdown]
# ## See the attention
#
# `attention_maps` has the weights of each block, (B, heads, T, T). Row 0 is the class
# token, and its 24 other numbers are a map over the picture. `rollout` follows what is
# read through all blocks, since above the first one each token is a mixture already
# (Abnar and Zuidema 2020, [arXiv:2005.00928](https://arxiv.org/abs/2005.00928)).

# %%
maps = attention_maps(model, images[:200])
print(maps)
through_all = rollout(maps)[:, 0, 1:]  # (B, N)
last = (
    maps["block_2"].weights[:, :, 0, 1:].mean(axis=1)
)  # (B, N), the mean of the heads
shown = int(np.argmax(digits == 5))
show_patches(
    np.clip(images[shown] / 2 + 0.5, 0, 1).repeat(3, axis=-1),
    np.stack([last[shown], through_all[shown]]),
    grid=GRID,
    titles=["last block", "rollout"],
).figure()

# %% [markdown]
# Do they look where the left digit is? We know where it is, so we count: how much of
# the weight lies on patches that hold a part of it, and how large a share of the
# patches these are.

# %%
holds = cut(places[:200, :, :, None], PATCH).any(axis=-1)  # (B, N)
print(f"patches with a part of it   {holds.mean():.1%}")
for name, weights in {"last block": last, "rollout": through_all}.items():
    on_digit = (weights * holds).sum(axis=1) / weights.sum(axis=1)
    print(f"weight on them, {name:10}  {on_digit.mean():.1%}")

# %% [markdown]
# The left digit covers less than a quarter of the patches and gets more than half of
# the weight. Weights say where a head reads, not why a model decides: `relevance` asks
# what bears on an answer.
#
# ## Exercises
#
# 1. Patches of 2 × 2, of 8 × 8, and the whole picture as one patch: how do accuracy and
#    time change? The weights of attention grow with N².
# 2. Let the mean of the patches be classified (`pooling="average"`), or what a learned
#    query reads of them (`pooling="attention"`). Is the class token missed?
# 3. Add `num_registers=4`. Does the class token read fewer patches of the background?
# 4. Train a convolutional network of as many parameters. How many pictures does it need
#    for the same accuracy? `tutorials/digits.py` does so for handwritten digits.
# 5. Save the model and double its pictures by `from_preset(folder, image_size=(32,
#    48))`: the positions are stretched. What does the model read then?
#
# ## Where it is in the library
#
# - `keras_attention.layers.PatchEmbedding`, `keras_attention.layers.ClassToken` and
#   `keras_attention.layers.PositionalEmbedding` make tokens,
#   `keras_attention.applications.ViT` is the model.
# - `keras_attention.visualization.rollout` follows weights through blocks,
#   `keras_attention.visualization.show_patches` and
#   `keras_attention.visualization.show_positions` draw maps.
# - [What a head does](03_what_a_head_does.ipynb) looks at heads one by one.

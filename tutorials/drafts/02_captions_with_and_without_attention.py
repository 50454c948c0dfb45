# %% [markdown]
# # Each word looks at another part of the picture
#
# Command: `python tutorials/02_captions_with_and_without_attention.py`, about
# COST on two CPU cores. Expected: of the pictures with four objects, RESULT are
# described without a mistake with attention, and less than 5 % without.
#
# A network turns a picture into a grid of features, a decoder writes a sentence about
# it. Without attention the decoder gets one vector for the whole picture. With it, the
# decoder looks at the grid again for each word: Show, Attend and Tell (Xu et al. 2015,
# [arXiv:1502.03044](https://arxiv.org/abs/1502.03044)).

# %% [markdown]
# ## Words that differ
#
# As in [the first tutorial](../01_additive_attention.ipynb). New is the last row.
#
# | meaning | here | elsewhere |
# |---|---|---|
# | before the softmax | scores | energies, e |
# | after the softmax | **weights** | alpha, a; Keras: `attention_scores` |
# | how many queries, how many keys | T, S | CS231n: **S, T**; PyTorch: L, S |
# | `mask` | **True = may be read** | EECS 498: **True = hidden**; CS231n: 0 = hidden |
# | the features of a picture | grid (B, rows, columns, D) | z (H, W, D); a (L, D) |
#
# The queries are the T words. The keys are the cells of the grid: S = rows x columns.
# All cells may be read, so there is no mask here.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.applications import RNNCaptioner
from keras_attention.applications import ShowAttendTell
from keras_attention.layers import AdditiveAttention
from keras_attention.preprocessing import openmoji
from keras_attention.preprocessing import Vocabulary
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import show_words

STEPS = int(os.environ.get("STEPS", 600))  # of each training, 32 pictures each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The problem: pictures whose answer is known
#
# One to four objects stand side by side, at any height. The caption names them from
# left to right. We keep where each object stands. No model is told.

# %%
SIZE, SIDE = 64, 13  # pixels of a picture, of an object
COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 160, 44),
    "blue": (31, 119, 180),
    "orange": (255, 160, 14),
    "black": (30, 30, 30),
}
y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
SHAPES = {
    "circle": x**2 + y**2 <= 1.05,
    "square": np.maximum(abs(x), abs(y)) <= 0.85,
    "triangle": abs(x) <= (y + 1) / 2,
    "cross": np.minimum(abs(x), abs(y)) <= 0.35,
}


def draw_picture(num_objects):
    """A picture, its caption, and the top left corner of each object."""
    picture = np.full((SIZE, SIZE, 3), 255, "uint8")
    words, corners = [], []
    for column in sorted(rng.permutation(4)[:num_objects]):
        top = rng.integers(SIZE - SIDE + 1)
        left = column * SIZE // 4 + rng.integers(SIZE // 4 - SIDE + 1)
        colour, shape = rng.choice(list(COLOURS)), rng.choice(list(SHAPES))
        place = picture[top : top + SIDE, left : left + SIDE]
        place[SHAPES[shape]] = COLOURS[colour]
        words.append(f"{colour} {shape}")
        corners.append((top, left))
    return picture, " and ".join(words), corners


def draw_pictures(numbers):
    """One picture for each number of objects."""
    pictures, captions, corners = zip(*map(draw_picture, numbers), strict=True)
    return np.stack(pictures), list(captions), corners


TESTS = min(200, 16 * STEPS)  # pictures of each number of objects
images, captions, corners = draw_pictures(np.repeat([1, 2, 3, 4], TESTS))

figure, axes = plt.subplots(1, 4, figsize=(9, 2.2), layout="constrained")
for i, panel in enumerate(axes):
    panel.imshow(images[i * TESTS])
    panel.set_title(captions[i * TESTS].replace(" and ", "\nand "), fontsize=9)
    panel.set_axis_off()

# %% [markdown]
# ## The equation
#
# The **query** is the state h of the decoder before a word. The cells $z_{ij}$ of the
# grid are **keys** and **values**:
#
# $$\text{scores}_{ij} = u \cdot \tanh(W_q h + W_k z_{ij} + b) \qquad
# \text{weights} = \text{softmax}(\text{scores}) \qquad
# \text{context} = \sum_{ij} \text{weights}_{ij} \, z_{ij}$$
#
# It is the attention of the first tutorial. There the keys were words in a row, here
# they are cells in a grid: to attention both are sets. In NumPy:


# %%
def look(state, grid, W_q, W_k, b, u):
    rows, columns, D = grid.shape
    cells = grid.reshape(rows * columns, D)  # (S, D)
    scores = np.tanh(state @ W_q + cells @ W_k + b) @ u  # (S,)
    weights = np.exp(scores - scores.max())
    weights = weights / weights.sum()
    context = weights @ cells  # (D,)
    return context, weights.reshape(rows, columns)


# %% [markdown]
# The same through the library: one query, T = 1, and S = 4 x 6 cells.

# %%
rows, columns, D, H, U = 4, 6, 8, 5, 7
state = rng.normal(size=H).astype("float32")
grid = rng.normal(size=(rows, columns, D)).astype("float32")
W_q = rng.normal(size=(H, U)).astype("float32")
W_k = rng.normal(size=(D, U)).astype("float32")
b, u = rng.normal(size=(2, U)).astype("float32")
by_hand, weights_by_hand = look(state, grid, W_q, W_k, b, u)

layer = AdditiveAttention(units=U, use_bias=True)
query, value = state.reshape(1, 1, H), grid.reshape(1, rows * columns, D)
layer(query=query, value=value)  # the first call makes the weights
layer.set_weights([W_q, W_k, b, u[:, None]])
context, weights = layer(query=query, value=value, return_attention_scores=True)
context, weights = ops.convert_to_numpy(context), ops.convert_to_numpy(weights)
np.testing.assert_equal(context.shape, (1, 1, D))
np.testing.assert_equal(weights.shape, (1, 1, rows * columns))
np.testing.assert_allclose(context[0, 0], by_hand, atol=1e-6)
np.testing.assert_allclose(weights.reshape(rows, columns), weights_by_hand, atol=1e-6)
print("largest difference", f"{np.abs(context[0, 0] - by_hand).max():.0e}")

# %% [markdown]
# ## Two captioners
#
# `ShowAttendTell` looks at the grid before each word. `RNNCaptioner` has the same
# encoder and the same LSTM, but all it learns of the picture is one vector, the mean of
# the grid. Both are trained to say each word when they are given the picture and the
# words before it.

# %%
BATCH = 32
train_images, train_captions, _ = draw_pictures(
    rng.integers(1, 5, size=STEPS * BATCH // 3)
)
vocabulary = Vocabulary.from_captions(train_captions)
print(train_images.shape)
print(train_captions[0], "->", vocabulary.encode(train_captions[:1])[0])


# %%
def train(model, images, captions, epochs):
    steps = epochs * -(-len(images) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(0.003, decay_steps=steps)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), TokenCrossentropy())
    token_ids = model.vocabulary.encode(captions)
    inputs = {"images": images, "token_ids": token_ids[:, :-1]}
    model.fit(inputs, token_ids[:, 1:], batch_size=BATCH, epochs=epochs, verbose=2)


SIZES = {
    "vocabulary": vocabulary,
    "image_size": SIZE,
    "encoder_filters": (32, 64),  # 8 x 8 cells, 64 features each
    "hidden_dim": 128,
    "word_dim": 32,
    "dropout": 0.0,  # every picture is new, nothing to learn by heart
    "max_length": 12,
}
looking = ShowAttendTell(attention_dim=64, attention_penalty=0.0, **SIZES)
print("grid", looking.encoder.output_shape)
train(looking, train_images, train_captions, epochs=3)

# %%
glancing = RNNCaptioner(**SIZES)
train(glancing, train_images, train_captions, epochs=3)

# %% [markdown]
# `caption` searches for the most probable sentence. Side by side, and then counted:

# %%
models = {"attention": looking, "one vector": glancing}
found = {name: model.caption(images) for name, model in models.items()}
for i in range(TESTS - 1, len(images), TESTS):
    print("to say    ", captions[i])
    for name in models:
        print(f"{name:10}", found[name][i])
    print()

right = {name: np.array(found[name]) == np.array(captions) for name in models}
right = {name: right[name].reshape(4, TESTS).mean(axis=1) for name in models}
print("without a mistake ", *models, sep="  ")
for n in (1, 2, 3, 4):
    rates = (f"{right[name][n - 1]:9.1%}" for name in models)
    print(f"objects: {n}         ", *rates, sep="  ")

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for name, style in zip(models, ("o-", "s--"), strict=True):
    axes.plot([1, 2, 3, 4], right[name], style, label=name)
axes.set_xticks([1, 2, 3, 4])
axes.set_xlabel("objects in the picture")
axes.set_ylabel("captions without a mistake")
axes.set_ylim(-0.05, 1.05)
_ = axes.legend()

# %% [markdown]
# TEXT
#
# ## See the attention
#
# The picture once for each word, lit where the model looks before it says the word. In
# a notebook, leave out `.figure()` for a view to walk through;
# `.save("words.html")` writes it as a page.

# %%
(caption,), weights = looking.caption(images[-1], return_attention_scores=True)
print(weights.shape)  # (B, T, rows, columns)
show_words(images[-1], caption, weights[0]).figure()

# %% [markdown]
# ## Does it look at the thing it names?
#
# Here the question has a number. We give the model the right captions, and sum the
# weights in the cells that an object touches: the object that the word belongs to, and
# the one after it.


# %%
def touched(corner):
    """The cells of the grid that an object touches, (8, 8)."""
    pixels = np.zeros((SIZE, SIZE), bool)
    top, left = corner
    pixels[top : top + SIDE, left : left + SIDE] = True
    return pixels.reshape(8, 8, 8, 8).any(axis=(1, 3))


def measure(model):
    """For each kind of word, the weight on its object and on the next one."""
    shares = {"colour": [], "shape": [], "and": []}
    ids = vocabulary.encode(captions)
    _, weights = model.decoder(
        model.encoder(images), ids, return_attention_scores=True
    )  # (B, T, rows, columns)
    for looks, places in zip(ops.convert_to_numpy(weights), corners, strict=True):
        cells = [touched(corner) for corner in places]
        for i, here in enumerate(cells[:-1]):
            for t, kind in enumerate(shares):
                map = looks[3 * i + t]
                shares[kind].append([map[here].sum(), map[cells[i + 1]].sum()])
    chance = np.mean([touched(corner).mean() for corner in sum(corners, [])])
    return shares, chance


shares, chance = measure(looking)
print("weight on      this object  the next one")
for kind, found in shares.items():
    here, after = np.mean(found, axis=0)
    print(f"{kind:12}  {here:12.0%}  {after:12.0%}")
print(f"if it looked everywhere alike: {chance:.0%}")

# %% [markdown]
# TEXT

# %% [markdown]
# ## Look everywhere once
#
# The paper adds a second loss, "doubly stochastic" attention (its Equation 14). The
# weights of one word sum to 1 over the cells. Those of one cell should sum to 1 over
# the words, as if each part of the picture were owed a look:
#
# $$\lambda \sum_{ij} \Big(1 - \sum_t \text{weights}_{t,ij}\Big)^2$$
#
# So far this was off, with `attention_penalty=0.0`. We train again with it on.

# %%
dutiful = ShowAttendTell(attention_dim=64, attention_penalty=0.01, **SIZES)
train(dutiful, train_images, train_captions, epochs=3)

# %%
for name, model in (("off", looking), ("on", dutiful)):
    shares, _ = measure(model)
    here, _ = np.mean(shares["shape"], axis=0)
    is_right = np.array(model.caption(images)) == np.array(captions)
    print(f"{name:3}  without a mistake {is_right.mean():.1%}", end="  ")
    print(f"on the object when its shape is named {here:.0%}")

figure, axes = plt.subplots(1, 3, figsize=(7, 2.6), layout="constrained")
axes[0].imshow(images[-1])
ids = vocabulary.encode(captions[-1:])
for panel, name, model in zip(axes[1:], ("off", "on"), (looking, dutiful), strict=True):
    _, weights = model.decoder(
        model.encoder(images[-1:]), ids, return_attention_scores=True
    )
    total = ops.convert_to_numpy(weights)[0].sum(axis=0)  # (rows, columns)
    shown = panel.imshow(total, cmap="Greys", vmin=0, vmax=2)
    panel.set_title(f"{name}: the sum over the words", fontsize=9)
figure.colorbar(shown, ax=axes)
for panel in axes:
    panel.set_axis_off()

# %% [markdown]
# TEXT

# %% [markdown]
# ## Real drawings
#
# OpenMoji has thousands of drawings with names. We take some hundred: a man or a woman,
# with one skin tone. The held-out captions were never seen, but each of their words
# was: a right one must be composed.


# %%
def people(split):
    """The pictures of a man or a woman with one skin tone."""
    pictures, names, _ = openmoji(image_size=SIZE, split=split, verbose=0)
    chosen = [
        i
        for i, name in enumerate(names)
        if name.startswith(("man ", "woman ")) and name.count("skin tone") == 1
    ]
    return pictures[chosen], [names[i] for i in chosen]


train_images, train_captions = people("train")
test_images, test_captions = people("test")
print(len(train_images), "to train,", len(test_images), "held out")

captioner = ShowAttendTell(
    vocabulary=Vocabulary.from_captions(train_captions),
    image_size=SIZE,
    encoder_filters=(64, 128),
    hidden_dim=128,
    word_dim=64,
    attention_dim=64,
    attention_penalty=0.0,
    dropout=0.3,  # the same pictures many times
    max_length=12,
)
few = slice(BATCH * STEPS)
train(captioner, train_images[few], train_captions[few], epochs=min(20, STEPS))

# %%
found = captioner.caption(test_images)
print(f"right: {np.mean(np.array(found) == np.array(test_captions)):.1%}")
for caption, truth in list(zip(found, test_captions, strict=True))[:8]:
    print(f"{caption:45} {'' if caption == truth else truth}")

# %%

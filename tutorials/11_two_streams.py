# %% [markdown]
# # XLNet's two streams
#
# Command: `python tutorials/11_two_streams.py`, about two minutes on two CPU cores.
# Expected: an XLNet of two blocks names more than 99 % of the letters whose partner
# comes before them in a drawn order, wherever it stands; and of the others as many as
# chance. One stream that sees what it is to predict names all in training, and then
# hardly one that it has not read.
#
# A language model that reads from the left never uses what stands on the right; BERT
# uses both sides, but hides words and predicts each as if it were the only one. XLNet
# (Yang et al. 2019, [arXiv:1906.08237](https://arxiv.org/abs/1906.08237)) predicts one
# token after the other, in an order that is drawn anew for each text. That takes two
# vectors at each place, and here they are drawn.

# %% [markdown]
# ## Words that differ
#
# | meaning | here | elsewhere |
# |---|---|---|
# | the order in which tokens are predicted | order | factorization order, z |
# | who reads whom | `permutation_mask`, True = reads | `perm_mask`, 1 = **not** |
# | which places are predicted | `target_positions` | `target_mapping`, one-hot |
# | what has read its own token | first stream, h | content stream |
# | what has not | second stream, g | query stream |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.applications import XLNet
from keras_attention.training import TokenCrossentropy

STEPS = int(os.environ.get("STEPS", 1500))  # of each training, 64 texts each
LETTERS, HALF = "abcdefgh", 4
LENGTH = 2 * HALF

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The problem: a text that says everything twice
#
# Four letters, and the same four again. The letter at a place is known if the one four
# places before or behind it has been read; else all eight letters are equally probable.


# %%
def draw_texts(count):
    """Token ids (count, LENGTH), from 1 on; 0 would be padding."""
    halves = rng.integers(1, len(LETTERS) + 1, (count, HALF))
    return np.concatenate([halves, halves], axis=1)


def spell(row):
    return "".join(LETTERS[i - 1] for i in row)


training, testing = draw_texts(64 * STEPS), draw_texts(1000)
print(*map(spell, testing[:4]))

# %% [markdown]
# ## The equation
#
# Let z be the order: token $z_1$ is predicted first, then $z_2$, and so on.
#
# $$\log p(x) = \sum_{i} \log p(x_{z_i} \mid x_{z_1}, \dots, x_{z_{i-1}})$$
#
# The vector that predicts $x_{z_i}$ must know **where** it is asked, for the same
# tokens before it may be followed by any place, and must not know **what** stands
# there. But the tokens behind it read its place, too, and need what stands there. One
# vector cannot do both (Section 2.3). So there are two: $h$ reads all up to and with
# its own place, $g$ all before it. In NumPy, who reads whom:


# %%
def draw_orders(count):
    """The rank of each place in its order, (count, LENGTH), from 0 on."""
    return np.argsort(rng.random((count, LENGTH)), axis=1)


def readable(ranks):
    """Whether a place (row) may read another (column), (count, LENGTH, LENGTH)."""
    return ranks[:, None, :] < ranks[:, :, None]


example = np.array([[5, 2, 0, 7, 3, 6, 1, 4]])  # place 2 first, then 6, then 1, ...
masks = {
    "h: all before it, and itself": readable(example)[0] | np.eye(LENGTH, dtype=bool),
    "g: all before it": readable(example)[0],
}
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharey=True)
for axis, (title, mask) in zip(axes, masks.items(), strict=True):
    axis.imshow(mask, cmap="Blues", vmin=0, vmax=1.5)
    axis.set_title(title, pad=18)
    axis.set_xlabel("place that is read")
    axis.set_xticks(range(LENGTH))
    axis.set_yticks(range(LENGTH))
    for place, rank in enumerate(example[0]):
        axis.text(place, -0.75, f"{rank + 1}.", ha="center", fontsize=8, color="gray")
axes[0].set_ylabel("place that reads")

# %% [markdown]
# The numbers in gray are the order. The row of place 2, the first in it, is empty on
# the right: $g$ has nothing to read there and can but guess. On the left each place
# also reads itself, which is all the difference.
#
# ## The model
#
# `XLNet` with the head `"permutation_language_model"`: $g$ begins as one learned vector
# at all places, and knows where it stands from the distances to what it reads. All
# eight places are predicted, in another order for each text.


# %%
def build(head):
    return XLNet(
        vocabulary_size=len(LETTERS) + 1,
        hidden_dim=64,
        num_layers=2,
        num_heads=2,
        mlp_dim=128,
        dropout=0.0,
        initializer_range=0.1,
        head=head,
        seed=0,
    )


def prepare(texts, ranks):
    """What the model reads."""
    return {
        "token_ids": texts,
        "padding_mask": np.ones(texts.shape, bool),
        "segment_ids": np.zeros_like(texts),
        "permutation_mask": readable(ranks),
        "target_positions": np.tile(np.arange(LENGTH, dtype="int32"), (len(texts), 1)),
    }


def train(model, inputs, texts):
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=STEPS, warmup_target=0.003, warmup_steps=STEPS // 20
    )
    adam = keras.optimizers.Adam(rate, clipnorm=1.0)
    model.compile(adam, TokenCrossentropy(padding_id=None))
    model.fit(inputs, texts, batch_size=64, verbose=0)


model = build("permutation_language_model")
train(model, prepare(training, draw_orders(len(training))), training)

# %% [markdown]
# How many letters are right, by what had been read before:


# %%
def tell(name, model, ranks):
    """The share of right letters, where the partner was read before and where not."""
    inputs = prepare(testing, ranks)
    right = model.predict(inputs, verbose=0).argmax(axis=-1) == testing
    partner = np.roll(ranks, HALF, axis=1)  # the rank of the place four away
    known = partner < ranks
    shares = [right[known].mean(), right[~known].mean()]
    print(f"{name:34}", *(f"{share:8.1%}" for share in shares))
    return shares


print(f"{'partner read before':34}", f"{'yes':>8}", f"{'no':>8}")
tell("orders that are drawn", model, draw_orders(len(testing)))
from_left = np.tile(np.arange(LENGTH), (len(testing), 1))
tell("from the left", model, from_left)
tell("from the right", model, from_left[:, ::-1])
print(f"{'chance':34}", *[f"{1 / len(LETTERS):8.1%}"] * 2)

# %% [markdown]
# One model reads in any order, the left and the right among them: where the partner
# is known the letter is, too, and nothing else helps.
#
# ## See the streams
#
# `encoder.read` also gives the weights of both streams. One text, in the order above,
# for the head of the second block that looks at partners most:

# %%
text = testing[:1]
read = prepare(text, example)
vectors = model.embedding(read.pop("token_ids"))
_, _, weights = model.encoder.read(
    vectors,
    **{name: ops.convert_to_tensor(x) for name, x in read.items()},
    return_attention_scores=True,
)
both = [ops.convert_to_numpy(stream)[0] for stream in weights[-1]]  # (N, T, T) each
partners = np.roll(np.eye(LENGTH), HALF, axis=1)
head = np.argmax([(head * partners).sum() for head in both[1]])
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharey=True)
names = ("h: has read its own letter", "g: has not")
for axis, title, stream in zip(axes, names, both, strict=True):
    axis.imshow(stream[head], cmap="Blues", vmin=0, vmax=1)
    axis.set_title(title, pad=18)
    axis.set_xticks(range(LENGTH), spell(text[0]))
    axis.set_yticks(range(LENGTH), spell(text[0]))
    axis.set_xlabel("letter that is read")
    for place, rank in enumerate(example[0]):
        axis.text(place, -0.75, f"{rank + 1}.", ha="center", fontsize=8, color="gray")
axes[0].set_ylabel("place that reads")
shares = (both[1][head] * partners).sum(axis=1)
known = np.roll(example[0], HALF) < example[0]
print(f"weight of g on a partner that it may read: {shares[known].mean():.2f}")

# %% [markdown]
# A place of $g$ whose partner comes before it in the order looks there, four places
# before or behind it. The others read something else, which tells them nothing.
#
# ## What goes wrong without it
#
# **One stream that reads itself.** Let $h$ predict: the head `"language_model"` reads
# off it. In training all letters are right at once. Then the same weights are asked for
# letters that they have not read, through $g$:

# %%
single = build("language_model")
inputs = prepare(training, draw_orders(len(training)))
inputs = {name: inputs[name] for name in ("token_ids", "padding_mask", "segment_ids")}
train(single, inputs, training)
seen = {name: x[: len(testing)] for name, x in inputs.items()}
right = single.predict(seen, verbose=0).argmax(axis=-1) == training[: len(testing)]
print(f"{'letters that it has read':34} {right.mean():8.1%}")
moved = build("permutation_language_model")
moved.set_weights(single.get_weights())
one = tell("letters that it has not", moved, draw_orders(len(testing)))

# %% [markdown]
# It learned to repeat what stands at its own place, and nothing about the language: not
# even to guess one of the eight letters.
#
# **One order alone.** From the left, as GPT reads, the first half can never be known;
# and a model that was trained so has no use for what stands on the right:

# %%
ordered = build("permutation_language_model")
ranks = np.tile(np.arange(LENGTH), (len(training), 1))
train(ordered, prepare(training, ranks), training)
print(f"{'partner read before':34}", f"{'yes':>8}", f"{'no':>8}")
tell("trained and asked from the left", ordered, from_left)
tell("asked from the right", ordered, from_left[:, ::-1])
tell("asked in drawn orders", ordered, draw_orders(len(testing)))

# %% [markdown]
# From the right every partner stands on the side that it never looked at. In drawn
# orders half of them do.
#
# What the pictures do not show: that all orders are better than masks on real text. In
# [pretraining](../docs/pretraining.md) six recipes get the same text and the same time,
# and what does not win is shown there, too.
#
# ## Exercises
#
# 1. Predict only the last two places of each order, as the paper does for a sixth of a
#    text. How many more steps does it take?
# 2. Let the second half be the first one backwards. Which distances does the head of
#    $g$ need then?
# 3. Take the learned vector that $g$ begins as, and set it to zero. What changes?
# 4. Read the text in two segments of four with `read_segment`. What does the memory
#    hold, $h$ or $g$?
#
# ## Where it is in the library
#
# - `keras_attention.applications.XLNet`, with `fit` on texts: the orders are drawn by
#   `keras_attention.data.permute_tokens`.
# - [Pretraining](../docs/pretraining.md) trains one on a text file.

# %% [markdown]
# # The Transformer, step by step
#
# Command: `python tutorials/09_the_transformer_step_by_step.py`, about three minutes on
# two CPU cores.
# Expected: of the dates that it never saw, more than 90 % are written without a
# mistake, less than 20 % without positions, none without the mask of the future; and
# the model of the paper has 63.0 million parameters.
#
# Self-attention is the only place where tokens meet. Around it stand parts that see one
# token at a time. From these few parts the model of "Attention is all you need" is put
# together (Vaswani et al. 2017, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)),
# and then we take parts out again.

# %% [markdown]
# ## Words that differ
#
# As in [the tutorial on heads](03_what_a_head_does.ipynb).
#
# | meaning | here | elsewhere |
# |---|---|---|
# | width of a token | `hidden_dim` D | embed_dim, d_model |
# | width inside the feed-forward network | `mlp_dim` F | dim_feedforward, d_ff |
# | heads, width of one | `num_heads` N, `key_dim` H | h, n_head; d_k, head_dim |
# | how many queries, how many keys | T, S | CS231n: **S, T**; PyTorch: L, S |
# | `mask` | **True = may be read** | EECS 498: **True = hidden**; CS231n: 0 = hidden |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention import layers
from keras_attention.applications import Transformer
from keras_attention.data import human_dates
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import attention_maps

STEPS = int(os.environ.get("STEPS", 400))  # of each training, 64 dates each

keras.utils.set_random_seed(0)

# %% [markdown]
# ## The problem: dates whose translation is known
#
# People write a date in many ways, a machine in one. The order changes, names become
# numbers, and the weekday is not needed at all. Character by character, that is a
# translation from 29 tokens to 11.

# %%
BATCH, EPOCHS = 64, 4
COUNT = max(STEPS // EPOCHS, 1) * BATCH
pairs = human_dates(COUNT + 500, seed=0)
for pair in pairs[:4]:
    print(f"{''.join(pair.source):30}{''.join(pair.target)}")

texts = ["".join(pair.source) for pair in pairs]
dates = ["".join(pair.target) for pair in pairs]
letters = Vocabulary(sorted(set("".join(texts))), split="characters")
digits = Vocabulary(sorted(set("".join(dates))), split="characters")
source, target = letters.encode(texts), digits.encode(dates)  # [start] ... [end] [pad]
previous, following = target[:, :-1], target[:, 1:]
S, T = source.shape[1], previous.shape[1]
print("source", source.shape, "target", previous.shape)

# %% [markdown]
# ## Step 1: tokens that know their place
#
# Attention reads a set, so each token must carry its position. A position is a vector
# as wide as a token: sines and cosines of wavelengths from 2π to 10000 · 2π.
#
# $$PE_{p, 2i} = \sin\big(p / 10000^{2i/D}\big) \qquad
# PE_{p, 2i+1} = \cos\big(p / 10000^{2i/D}\big)$$


# %%
def positions(length, width):
    place = np.arange(length)[:, None]  # (T, 1)
    angle = place / 10000 ** (np.arange(0, width, 2) / width)  # (T, D / 2)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(length, width)


D = 64
table = positions(S, D)
layer = layers.PositionalEmbedding(kind="sinusoidal")
by_layer = ops.convert_to_numpy(layer(np.zeros((1, S, D), "float32")))[0]
np.testing.assert_allclose(by_layer, table, atol=1e-5)

likeness = table @ table.T / (D / 2)  # 1 with itself
print("position 5 with 5, 6, 8 and 20:", likeness[5, [5, 6, 8, 20]].round(2))
print("position 15 with 15, 16 and 18: ", likeness[15, [15, 16, 18]].round(2))
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
axes[0].imshow(table, cmap="RdBu", aspect="auto")
axes[0].set_xlabel("place in the vector")
axes[0].set_ylabel("position")
axes[1].imshow(likeness, cmap="Blues")
axes[1].set_xlabel("position")
_ = axes[1].set_ylabel("position")

# %% [markdown]
# How alike two positions are depends only on how far apart they are: a head can look
# "three to the left" from anywhere. The tokens are multiplied by √D before a position
# is added, else it would drown them.

# %% [markdown]
# ## Step 2: attention, in three places
#
# One layer serves three times. What differs is who asks, and who may be read:
#
# | place | queries | keys and values | mask |
# |---|---|---|---|
# | encoder | source | source | what is no padding |
# | decoder | target | target | what is no later token |
# | between, **cross-attention** | target | what the encoder gives | no padding |
#
# The scores are divided by √H: [the tutorial on heads](03_what_a_head_does.ipynb) shows
# why.


# %%
def attention(name, num_heads):
    return layers.MultiHeadAttention(
        num_heads, D // num_heads, use_bias=False, name=name
    )


# %% [markdown]
# ## Step 3: the two blocks
#
# Each branch adds to what was there, and a norm follows, as in Figure 1 of the paper.
# The feed-forward network sees each token alone.
#
# $$x \leftarrow \text{norm}(x + \text{attention}(x)) \qquad
# x \leftarrow \text{norm}(x + \text{relu}(x W_1 + b_1) W_2 + b_2)$$


# %%
def norm(name):
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)


def feed_forward(name, x, width):
    x = keras.layers.Dense(width, activation="relu", name=f"{name}_wide")(x)
    return keras.layers.Dense(D, name=f"{name}_narrow")(x)


def encoder_block(name, x, mask, sizes):
    read = attention(f"{name}_self", sizes["num_heads"])(x, x, mask=mask)
    x = norm(f"{name}_norm_self")(x + read)  # (B, S, D)
    return norm(f"{name}_norm_mlp")(x + feed_forward(name, x, sizes["mlp_dim"]))


def decoder_block(name, y, x, mask, sizes):
    causal, num_heads = sizes["causal"], sizes["num_heads"]
    read = attention(f"{name}_self", num_heads)(y, y, use_causal_mask=causal)
    y = norm(f"{name}_norm_self")(y + read)  # (B, T, D)
    read = attention(f"{name}_cross", num_heads)(y, x, mask=mask)
    y = norm(f"{name}_norm_cross")(y + read)
    return norm(f"{name}_norm_mlp")(y + feed_forward(name, y, sizes["mlp_dim"]))


# %% [markdown]
# ## Step 4: the model
#
# Two blocks for the encoder, two for the decoder; the paper has six. The last layer is
# the table of the target's tokens again, transposed: a token is likely if what comes
# out resembles it.

# %%
SIZES = {
    "num_layers": 2,
    "num_heads": 4,
    "mlp_dim": 128,
    "causal": True,
    "placed": True,
}


def embedding(vocabulary, name):
    start = keras.initializers.RandomNormal(stddev=D**-0.5)
    return keras.layers.ReversibleEmbedding(
        len(vocabulary), D, embeddings_initializer=start, name=name
    )


def build(**changes):
    sizes = SIZES | changes
    source_ids = keras.Input((None,), dtype="int32", name="encoder_token_ids")
    target_ids = keras.Input((None,), dtype="int32", name="decoder_token_ids")
    mask = ops.not_equal(source_ids, 0)  # (B, S), True = may be read

    def enter(token_ids, table):
        x = keras.layers.Rescaling(D**0.5)(table(token_ids))
        place = layers.PositionalEmbedding(kind="sinusoidal", name=f"{table.name}_at")
        return place(x) if sizes["placed"] else x

    x = enter(source_ids, embedding(letters, "letters"))  # (B, S, D)
    for i in range(sizes["num_layers"]):
        x = encoder_block(f"encoder_{i}", x, mask, sizes)
    words = embedding(digits, "digits")
    y = enter(target_ids, words)  # (B, T, D)
    for i in range(sizes["num_layers"]):
        y = decoder_block(f"decoder_{i}", y, x, mask, sizes)
    inputs = {"encoder_token_ids": source_ids, "decoder_token_ids": target_ids}
    return keras.Model(inputs, words(y, reverse=True))  # (B, T, V)


def inputs_of(rows):
    return {"encoder_token_ids": source[rows], "decoder_token_ids": previous[rows]}


model = build()
logits = model.predict(inputs_of(slice(0, 2)), verbose=0)
np.testing.assert_equal(logits.shape, (2, T, len(digits)))

# %% [markdown]
# **The mask**: whatever comes later, the logits of a place stay the same. So all places
# are trained at once, each as if the rest were not written yet.

# %%
changed = inputs_of(slice(0, 2))
changed["decoder_token_ids"] = changed["decoder_token_ids"].copy()
changed["decoder_token_ids"][:, 6:] = digits.encode(["9"])[0, 1]
moved = np.abs(model.predict(changed, verbose=0) - logits).max(axis=(0, 2))  # (T,)
print("places 0 to 5:", moved[:6].max().round(6), " from 6 on:", moved[6:].min() > 0)

# %% [markdown]
# **Attention is the only place where tokens meet**: silence the values of all heads,
# and no letter of the source reaches any digit.

# %%
silent = build()
silent.set_weights(model.get_weights())
for each in silent.layers:
    if isinstance(each, layers.MultiHeadAttention):
        each.output_kernel.assign(np.zeros((D, D)))
other = inputs_of(slice(0, 2))
other["encoder_token_ids"] = source[2:4]
for name, each in {"with attention": model, "silenced": silent}.items():
    here = each.predict(inputs_of(slice(0, 2)), verbose=0)
    print(f"{name:15} {np.abs(each.predict(other, verbose=0) - here).max():.2f}")

# %% [markdown]
# ## Step 5: count
#
# With V tokens, each attention has 4 D² numbers, a feed-forward network 2 D F and its
# biases, a norm 2 D.


# %%
def count(vocabulary, num_layers, width, mlp_dim):
    attention, norms = 4 * width**2, 2 * width
    network = 2 * width * mlp_dim + mlp_dim + width
    encoder = attention + network + 2 * norms
    decoder = 2 * attention + network + 3 * norms
    return vocabulary * width + num_layers * (encoder + decoder)


ours = count(len(letters) + len(digits), 2, D, 128)
print(f"ours  {ours:11,}  {model.count_params():11,} in the model")
np.testing.assert_equal(model.count_params(), ours)
base = count(37000, 6, 512, 2048)
print(f"base  {base:11,}")

# %% [markdown]
# The paper says 65 million for its base model, with "about 37000" tokens; the rest of
# the difference is in what it counts as vocabulary. `Transformer()` of the library is
# that model. With our sizes it is ours: it gets our weights, and gives our logits.

# %%
library = Transformer(
    source_vocabulary=letters,
    target_vocabulary=digits,
    hidden_dim=D,
    num_layers=2,
    num_heads=4,
    mlp_dim=128,
    share_embeddings=False,
    dropout=0.0,
)
RENAMED = {
    "_norm_self": "/self_attention_residual/norm",
    "_norm_cross": "/cross_attention_residual/norm",
    "_norm_mlp": "/feed_forward_residual/norm",
    "_self": "/self_attention",
    "_cross": "/cross_attention",
    "_wide/": "/feed_forward/hidden_",
    "_narrow/": "/feed_forward/output_",
    "encoder_": "encoder/block_",
    "decoder_": "decoder/block_",
    "letters": "source_embedding",
    "digits": "target_embedding",
}
theirs = {weight.path: weight for weight in library.weights}
for weight in model.weights:
    path = weight.path
    for here, there in RENAMED.items():
        path = path.replace(here, there)
    theirs.pop(path).assign(ops.convert_to_numpy(weight).copy())
print("weights left over:", len(theirs))
again = library.predict(inputs_of(slice(0, 2)), verbose=0)
np.testing.assert_allclose(again, logits, atol=1e-4)
print("largest difference of the logits:", f"{np.abs(again - logits).max():.0e}")

# %% [markdown]
# ## Step 6: train
#
# The learning rate begins small and rises, then falls: with the norm behind the branch
# a large first step would spoil the model.

# %%
tests = slice(COUNT, COUNT + min(500, 16 * STEPS))


def train(model):
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=STEPS,
        warmup_target=0.003,
        warmup_steps=max(STEPS // 6, 1),
    )
    optimizer = keras.optimizers.Adam(rate, beta_2=0.98)
    model.compile(optimizer, TokenCrossentropy())
    history = model.fit(
        inputs_of(slice(0, COUNT)),
        following[:COUNT],
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
    )
    print("loss", *(f"{loss:.3f}" for loss in history.history["loss"]))


def write(model, source_ids):
    """Writes dates token by token, each the likeliest after those before it."""
    written = np.full((len(source_ids), T), digits.encode(["1"])[0, 0])  # [start]
    for t in range(T - 1):
        inputs = {"encoder_token_ids": source_ids, "decoder_token_ids": written}
        logits = model.predict(inputs, batch_size=500, verbose=0)[:, t]  # (B, V)
        written[:, t + 1] = logits.argmax(axis=-1)
    return written[:, 1:]


def right(model):
    """The share of dates without a mistake, of those that were not learned."""
    written = write(model, source[tests])
    return (written == following[tests, :-1]).all(axis=1).mean()


train(model)
print(f"without a mistake: {right(model):.1%}")

# %% [markdown]
# ## See the attention
#
# Each head of the encoder, of the decoder, and between them, for one date. A row asks,
# a column is read.

# %%
shown = COUNT + int(np.argmax([len(text) for text in texts[tests]]))
maps = attention_maps(model, inputs_of(slice(shown, shown + 1)))
columns = ["[start]", *texts[shown], "[end]"]
rows = ["[start]", *dates[shown]]
print(texts[shown], dates[shown])
for attention_map in maps.values():
    print(attention_map)

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 4.5), layout="constrained")
panels = {
    "encoder_1_self": (columns, columns),
    "decoder_1_self": (rows, rows),
    "decoder_1_cross": (columns, rows),
}
by_name = {name.split("/")[-1]: each.weights for name, each in maps.items()}
for panel, (name, (across, down)) in zip(axes, panels.items(), strict=True):
    weights = by_name[name][0].mean(axis=0)  # of the heads
    panel.imshow(weights[: len(down), : len(across)], cmap="Greys", vmin=0)
    panel.set_title(name)
    panel.set_xticks(range(len(across)), across, rotation=90, fontsize=7)
    panel.set_yticks(range(len(down)), down, fontsize=7)

# %% [markdown]
# ## What goes wrong without it
#
# **Without positions**, and without **the mask** of the future. All else is the same.

# %%
missing = {"positions": {"placed": False}, "mask": {"causal": False}}
for name, change in missing.items():
    print("without", name)
    other = build(**change)
    train(other)
    print(f"without a mistake: {right(other):.1%}")

# %% [markdown]
# Without positions the encoder has a bag of letters: it cannot tell the 12th of March
# from the 21st. With the mask gone the loss falls to nothing, as each place reads its
# answer, and nothing can be written: when it writes, there is no answer to read.
#
# ## Exercises
#
# 1. Put the norm in front of each branch (`norm_order="pre"` in the library), and leave
#    out the rise of the learning rate. Then leave it out with the norm behind.
# 2. Take learned positions (`PositionalEmbedding(32)`). What does their likeness show?
# 3. Replace cross-attention by the mean of what the encoder gives. What is lost?
# 4. Let `attention_maps` show which letters each digit of the year reads, and compare
#    with `pair.alignment`, the truth.
# 5. Train with `num_layers=1`, and with one head. What do two blocks gain?
# 6. Train longer, with `STEPS=600`. Which dates are still wrong?
#
# ## Where it is in the library
#
# - `keras_attention.applications.Transformer` is the model, with `translate`, beam
#   search and published checkpoints.
# - `keras_attention.layers.TransformerEncoderBlock`,
#   `keras_attention.layers.TransformerDecoderBlock` are the blocks, each with the norm
#   in front or behind, and `keras_attention.layers.TransformerEncoder` repeats them.
# - `keras_attention.layers.PositionalEmbedding` adds positions,
#   `keras_attention.training.InverseSquareRoot` is the paper's learning rate.

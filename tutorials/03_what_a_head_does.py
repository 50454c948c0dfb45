# %% [markdown]
# # What a head does
#
# Command: `python tutorials/03_what_a_head_does.py`, about two minutes on two CPU
# cores.
# Expected: a model of two blocks copies more than 99 % of the letters of a repeated
# text, and less than 10 % when the two heads of its second block are switched off.
#
# A Transformer has many heads, and each reads something else. Here is a model so small
# that we can say what its heads do, how we know, and what breaks without each part of
# them (Vaswani et al. 2017, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)).

# %% [markdown]
# ## Words that differ
#
# As in [the first tutorial](01_additive_attention.ipynb). New are the heads.
#
# | meaning | here | elsewhere |
# |---|---|---|
# | before the softmax | scores | energies, e |
# | after the softmax | **weights** | alpha, A; Keras: `attention_scores` |
# | how many queries, how many keys | T, here both | CS231n: **S, T**; PyTorch: L, S |
# | `mask` | **True = may be read** | EECS 498: **True = hidden**; CS231n: 0 = hidden |
# | heads, width of one | `num_heads` N, `key_dim` H | h, n_head; d_k, head_dim |
# | width of a token | `hidden_dim` D | embed_dim, d_model |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention import layers
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import attention_maps
from keras_attention.visualization import head_statistics
from keras_attention.visualization import show_heads

STEPS = int(os.environ.get("STEPS", 400))  # of each training, 64 texts each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The equation
#
# In self-attention each token x asks and is asked: query, key and value are all made
# from it. A **head** is one such reading, of width H:
#
# $$q = x W_q \qquad k = x W_k \qquad v = x W_v \qquad
# \text{weights} = \text{softmax}\Big(\frac{q \, k^\top}{\sqrt{H}}\Big) \qquad
# \text{head} = \text{weights} \, v$$
#
# In NumPy, for B sequences of T tokens of width D:


# %%
def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def head(x, W_q, W_k, W_v, mask=True):
    query, key, value = x @ W_q, x @ W_k, x @ W_v  # (B, T, H) each
    scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])  # (B, T, T)
    weights = softmax(np.where(mask, scores, -np.inf))
    return weights @ value, weights  # (B, T, H), (B, T, T)


# %% [markdown]
# A case to check by hand: all widths are 1 and all matrices too, so the scores are
# products of the tokens, here 0 and r = √(ln 3). The first query is 0, its scores are 0
# and 0, and it reads both alike. The second query has the scores 0 and ln 3, and the
# weights 1/4 and 3/4.

# %%
one = np.ones((1, 1))
root = np.sqrt(np.log(3))
output, weights = head(np.array([[[0.0], [root]]]), one, one, one)
print("weights", weights[0].round(6).tolist())
print("output / r", (output[0, :, 0] / root).round(6))

# %% [markdown]
# **Several heads** read at the same time, each with its own matrices. What they read is
# laid side by side and multiplied by $W_o$. That is a sum with a term for each head:
#
# $$\text{output} = [\text{head}_1, \dots, \text{head}_N] \, W_o
# = \sum_n \text{head}_n \, W_o^{(n)}$$
#
# with the H rows of $W_o$ that belong to head n. Remember them: to switch a head off we
# set its rows to zero.
#
# The same through the library, which keeps all $W_q$, then all $W_k$, then all $W_v$
# side by side in one matrix. All sizes differ.

# %%
B, T, D, N, H = 2, 5, 6, 3, 4
x = rng.normal(size=(B, T, D)).astype("float32")
W_q, W_k, W_v = rng.normal(size=(3, N, D, H)).astype("float32")
W_o = rng.normal(size=(N, H, D)).astype("float32")

layer = layers.MultiHeadSelfAttention(num_heads=N, key_dim=H, use_bias=False)
layer.build(x.shape)
side_by_side = np.concatenate([*W_q, *W_k, *W_v], axis=1)  # (D, 3 * N * H)
layer.set_weights([side_by_side, W_o.reshape(N * H, D)])
result = layer(x, return_attention_scores=True)
output, weights = (ops.convert_to_numpy(tensor) for tensor in result)
np.testing.assert_equal(output.shape, (B, T, D))
np.testing.assert_equal(weights.shape, (B, N, T, T))

by_hand = sum(head(x, W_q[n], W_k[n], W_v[n])[0] @ W_o[n] for n in range(N))
np.testing.assert_allclose(output, by_hand, rtol=1e-4, atol=1e-4)
difference = np.abs(output - by_hand).max() / np.abs(by_hand).max()
print("largest difference, of the largest number:", f"{difference:.0e}")

# %% [markdown]
# ## A head reads a set
#
# No place stands in the equation. Shuffle the tokens, and what comes out is shuffled in
# the same way: f(s(x)) = s(f(x)). A sentence would be a bag of words.
#
# Two things break this. Positions that are added to the tokens do, and a causal mask,
# which lets token t read only the tokens 0 to t: it knows what is before and after.


# %%
def shuffling_matters(function, x):
    """How far f(s(x)) is from s(f(x)), of the largest number in it."""
    shuffled = ops.convert_to_numpy(function(x[:, order]))
    after = ops.convert_to_numpy(function(x))[:, order]
    return np.abs(shuffled - after).max() / np.abs(after).max()


order = np.array([3, 0, 4, 1, 2])
positions = layers.PositionalEmbedding(kind="sinusoidal")
cases = {
    "as it is": layer,
    "with positions": lambda x: layer(positions(x)),
    "with a causal mask": lambda x: layer(x, use_causal_mask=True),
}
for name, function in cases.items():
    print(f"{name:18}  f(s(x)) - s(f(x)) = {shuffling_matters(function, x):.0e}")
np.testing.assert_array_less(shuffling_matters(layer, x), 1e-6)

# %% [markdown]
# ## Why the scores are divided by the root of H
#
# A score is a sum of H products. If queries and keys are like random numbers of
# variance 1, each product has the variance 1, and the score has the variance H: the
# wider the head, the larger the scores. The softmax then gives nearly all weight to the
# largest. That is how it would begin, before anything was learned.
#
# We measure two things for 64 keys. The **entropy** of the weights: 6 bits if all keys
# are read alike, 0 if only one is. And how much the weights still **move** when the
# scores do, which is what the gradient passes on: the derivative of a weight w by its
# own score is w (1 - w), and we sum it over the keys.

# %%
WIDTHS, KEYS = [1, 4, 16, 64, 256, 1024], 64
entropy, slope = {}, {}
for name in ("divided by the root of H", "not divided"):
    entropy[name], slope[name] = [], []
    for width in WIDTHS:
        query = rng.normal(size=(500, 1, width))
        key = rng.normal(size=(500, KEYS, width))
        scores = (query * key).sum(axis=-1)  # (500, KEYS)
        if name != "not divided":
            scores = scores / np.sqrt(width)
        weights = softmax(scores)
        bits = -(weights * np.log2(weights + 1e-300)).sum(axis=-1)
        entropy[name].append(bits.mean())
        slope[name].append((weights * (1 - weights)).sum(axis=-1).mean())

figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for name, style in zip(entropy, ("o-", "s--"), strict=True):
    axes[0].plot(WIDTHS, entropy[name], style, label=name)
    axes[1].plot(WIDTHS, slope[name], style)
    print(name)
    print("  entropy", *(f"{value:6.2f}" for value in entropy[name]))
    print("  slope  ", *(f"{value:6.2f}" for value in slope[name]))
for panel, label in zip(axes, ("entropy (bits)", "how far weights move"), strict=True):
    panel.set_xscale("log", base=2)
    panel.set_xlabel("width of the head, H")
    panel.set_ylabel(label)
    panel.set_ylim(bottom=0)
_ = axes[0].legend()

# %% [markdown]
# Undivided, a head of width 64 begins with less than one bit, so with fewer than two
# keys of 64, and its weights hardly move any more. Divided, its width does not matter.
# It is the same care as in the first values of weights (Glorot, He): keep the variance
# at 1.

# %% [markdown]
# ## The problem: a text whose answer is known
#
# Some letters in random order, all different, and then the same again until the text is
# full. After how many letters it repeats is random too, from 6 to 14. Nobody can guess
# the letters of the first round. From the second round on, all are known: look for the
# last time that this letter came, and say **what came after it**.

# %%
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LENGTH = 33


def make_texts(count, length=LENGTH):
    """Repeated letters as numbers from 1 on, (B, T), and after how many they repeat."""
    periods = rng.integers(6, 15, size=count)
    texts = [np.resize(rng.permutation(26)[:period] + 1, length) for period in periods]
    return np.array(texts, "int32"), periods


def spell(token_ids):
    return "".join(LETTERS[token_id - 1] for token_id in token_ids)


BATCH, EPOCHS = 64, 8
COUNT = max(STEPS // EPOCHS, 1) * BATCH
training, _ = make_texts(COUNT)
texts, periods = make_texts(min(500, 16 * STEPS))
for text in texts[:3]:
    print(spell(text))

# %% [markdown]
# The model has two blocks of two heads. Each place reads the ones before it and says
# the next letter. Its positions are rotary: queries and keys are turned by their
# position, so that a score depends on how far apart the two are, and the tokens never
# learn their number (Su et al. 2021,
# [arXiv:2104.09864](https://arxiv.org/abs/2104.09864)).


# %%
def build(num_layers=2, is_causal=True, has_positions=True):
    token_ids = keras.Input((None,), dtype="int32")
    start = keras.initializers.RandomNormal(stddev=0.5)
    x = keras.layers.Embedding(27, 64, start)(token_ids)  # (B, T, D)
    attention = layers.MultiHeadSelfAttention(
        num_heads=2,
        key_dim=32,
        rotary_embedding=layers.RotaryEmbedding() if has_positions else None,
        name="self_attention",
    )
    block = layers.TransformerEncoderBlock(
        num_heads=2, mlp_dim=128, attention=attention
    )
    encoder = layers.TransformerEncoder(block, num_layers=num_layers, name="encoder")
    x = encoder(x, use_causal_mask=is_causal)
    return keras.Model(token_ids, keras.layers.Dense(27)(x))  # (B, T, V)


def train(model):
    rate = keras.optimizers.schedules.CosineDecay(0.003, decay_steps=STEPS)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), TokenCrossentropy())
    inputs, following = training[:, :-1], training[:, 1:]
    history = model.fit(inputs, following, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    print("loss", *(f"{loss:.2f}" for loss in history.history["loss"]))


def copied(model):
    """The share of letters said right, of those that can be known."""
    said = model.predict(texts[:, :-1], verbose=0).argmax(axis=-1)  # (B, T)
    return (said == texts[:, 1:])[known].mean()


known = np.arange(LENGTH - 1) >= periods[:, None]  # (B, T): from the second round on
model = build()
print("parameters", f"{model.count_params():,}")
train(model)
print(f"copied: {copied(model):.1%}")

# %% [markdown]
# ## See the heads
#
# One text, and what each of the four heads reads, a row for each letter that reads. In
# a notebook `show_heads` without `.figure()` is a page on which one points at a letter.

# %%
maps = attention_maps(model, texts[:, :-1])
for attention_map in maps.values():
    print(attention_map)
shown = int(np.argmax(periods == 10))
show_heads(maps, queries=list(spell(texts[shown, :-1])), index=shown).figure()

# %% [markdown]
# `head_statistics` describes each head by numbers, over all texts: the entropy of its
# weights in bits, how far away it reads, and how much it reads of some places. We add
# one that belongs to this problem: from the second round on, how much weight lies on
# the letter that came **after** the same letter before, and how much on that same
# letter itself.

# %%
read, written = texts[:, :-1, None], texts[:, None, :-1]  # a row for each query
same = np.tril(read == written, -1)  # (B, T, T): the same letter, earlier
after = np.tril(np.roll(same, 1, axis=2))  # one further
HEADS = [(block, n) for block in (0, 1) for n in (0, 1)]
statistics = head_statistics(maps)
for name, place in {"the same letter": same, "the one after it": after}.items():
    statistics[name] = np.array(
        [
            [(each.weights[:, n] * place).sum(axis=-1)[known].mean() for n in (0, 1)]
            for each in maps.values()
        ]
    )
print(" " * 16, *(f"block {block}, head {n}" for block, n in HEADS), sep="  ")
for name, values in statistics.items():
    print(f"{name:16}", *(f"{values[place]:15.2f}" for place in HEADS))

# %% [markdown]
# The heads of the first block read most of all the letter just before and their own: a
# stripe beside the diagonal. Those of the second block read far away, a round back or
# two, and most of it is **the letter after the same letter**, which is the answer.
#
# How can a head find what comes after a letter, when it compares one letter with one
# other? Not by itself. A head of the first block tells each letter which one it comes
# after. Then a head of the second block asks: who comes after my letter? Two heads, one
# behind the other, are an algorithm, called **induction** (Olsson et al. 2022,
# [arXiv:2209.11895](https://arxiv.org/abs/2209.11895)).

# %% [markdown]
# ## Switch a head off
#
# What a head reads is not yet what it is good for. So we take one away, by setting its
# rows of $W_o$ to zero, and count again.


# %%
def without(*heads):
    """What is copied when these heads of the model add nothing."""
    kernels = [
        block.self_attention.output_kernel
        for block in model.get_layer("encoder").blocks
    ]
    before = [ops.convert_to_numpy(kernel) for kernel in kernels]  # (N * H, D) each
    silent = [kernel.reshape(2, 32, -1).copy() for kernel in before]
    for block, n in heads:
        silent[block][n] = 0.0
    for kernel, value in zip(kernels, silent, strict=True):
        kernel.assign(value.reshape(kernel.shape))
    rate = copied(model)
    for kernel, value in zip(kernels, before, strict=True):
        kernel.assign(value)
    return rate


print(f"all heads                 {without():6.1%}")
for place in HEADS:
    print("without block {}, head {}   ".format(*place), f"{without(place):6.1%}")
for block in (0, 1):
    print(f"without both of block {block}   {without((block, 0), (block, 1)):6.1%}")

# %% [markdown]
# Without one head up to half of the letters are lost, and no more: the two heads of a
# block do the same work, and what is left of it is often enough. Without both heads of
# the second block hardly a letter is copied, and without both of the first only a few.
# What the weights showed was a guess until here; that the heads matter, only such an
# experiment tells.

# %% [markdown]
# ## What goes wrong without it
#
# **Without the second block** no head can find what came after a letter. The first
# block's heads compare letters that know nothing of their neighbours yet. What they get
# right is a guess, say by ruling out what was just said.

# %%
single = build(num_layers=1)
train(single)
print(f"copied: {copied(single):.1%}")

# %% [markdown]
# **Without positions** no head can tell directly which letter is the one before. All
# that is left of order is the causal mask.

# %%
unplaced = build(has_positions=False)
train(unplaced)
print(f"copied: {copied(unplaced):.1%}")

# %% [markdown]
# It learns more slowly, and yet copies half of the letters and has not come to its end:
# each place reads one letter more than the one before it, and from that a model can
# make out the order (language models do: Haviv et al. 2022,
# [arXiv:2203.16634](https://arxiv.org/abs/2203.16634)).
#
# **Without the causal mask** each place may read the next letter, which it is asked
# for.

# %%
cheating = build(is_causal=False)
train(cheating)
print(f"copied: {copied(cheating):.1%}")

# %% [markdown]
# The loss falls to nearly zero, far below that of the model with a mask, which cannot
# know the first round. What is left is the last place of each text, which has no next
# letter to read. But when a text is written, no place has one. We give both models the
# first round and one letter more, and let them write on, one letter at a time.


# %%
def write(model, begun, length):
    """Writes on from what is begun, (B, T), up to a length."""
    while begun.shape[1] < length:
        logits = model.predict(begun, verbose=0)[:, -1]  # (B, V)
        begun = np.concatenate([begun, logits.argmax(axis=-1)[:, None]], axis=1)
    return begun


full = texts[periods == 10][:100]
for name, each in {"causal": model, "not causal": cheating}.items():
    text = write(each, full[:, :11], length=21)
    rate = (text == full[:, :21])[:, 11:].mean()
    print(f"{name:10}  {spell(text[0])}  right {rate:.1%}")
print(f"{'to write':10}  {spell(full[0, :21])}")

# %% [markdown]
# ## What attention explains
#
# The weights say one thing exactly: how much of each value a head took up. They do not
# say what the values contained, nor what became of them. Whether they explain an answer
# was long disputed. Weights often agree little with gradients, and quite other weights
# can give nearly the same answer (Jain and Wallace 2019,
# [arXiv:1902.10186](https://arxiv.org/abs/1902.10186)); but that another explanation
# exists does not make this one worthless, and it depends on what one calls an
# explanation (Wiegreffe and Pinter 2019,
# [arXiv:1908.04626](https://arxiv.org/abs/1908.04626); Bibal et al. 2022 tell
# [the debate](https://aclanthology.org/2022.acl-long.269/)). Above the first block each
# token is a mixture already, so weights have to be followed down through the blocks
# (`rollout`, Abnar and Zuidema 2020,
# [arXiv:2005.00928](https://arxiv.org/abs/2005.00928)). What is read much may still
# matter little, which gradients tell better (`relevance`, Chefer et al. 2021,
# [arXiv:2103.15679](https://arxiv.org/abs/2103.15679)). Here three things agree: what
# the heads read, what happens without them, and an algorithm that needs just these two
# steps. Such heads are found in language models of many sizes, though the proof is
# strongest for small ones (Olsson et al. 2022). Of most heads of a large model nobody
# can say as much.
#
# ## Exercises
#
# 1. Give the model texts that repeat after 20 letters, and longer ones than it has seen
#    (`make_texts(100, length=60)`). Does it copy them?
# 2. In place of the rows of $W_o$, set a head's values to their mean over all texts. Is
#    the head missed as much?
# 3. Train with one head in each block, and with four. How many of them are needed?
# 4. Let letters come twice within a round. Which letter is copied after such a one?
# 5. Replace the rotary embedding by positions that are added to the letters
#    (`TokenAndPositionEmbedding`). Do the same heads appear? How else could one copy?
# 6. Train the model without the division by √H, with `query_key_norm="cosine"` instead.
#
# ## Where it is in the library
#
# - `keras_attention.layers.MultiHeadSelfAttention` has the heads,
#   `keras_attention.layers.TransformerEncoder` the blocks.
# - `keras_attention.ops.attend` is the one function behind all attention layers.
# - `keras_attention.visualization.attention_maps` gives the weights of any model,
#   `keras_attention.visualization.head_statistics` describes heads,
#   `keras_attention.visualization.show_heads` draws them.
# - `keras_attention.visualization.rollout` and
#   `keras_attention.visualization.relevance` follow them through the blocks.

# %% [markdown]
# # What one vector cannot hold
#
# Command: `python tutorials/08_the_bottleneck.py`, about two minutes on two CPU cores.
# Expected: strings of 16 letters, 48 bits, are to be repeated. Through one vector of 8
# numbers 10 bits arrive and no string without a mistake, through one of 128 numbers 46
# bits and two thirds of the strings; with attention 8 numbers are enough for all.
#
# The first translators of one piece were two recurrent networks: one reads a sentence
# to its end, the other writes another sentence from where the first stopped (Sutskever
# et al. 2014, [arXiv:1409.3215](https://arxiv.org/abs/1409.3215)). Between them goes
# one vector, as wide for two words as for fifty. Here we count how many bits get
# through it.

# %% [markdown]
# ## Words that differ
#
# | meaning | here | elsewhere |
# |---|---|---|
# | what the decoder is given of the source | context c | Sutskever: v; thought vector |
# | states of encoder and decoder | h, s | PyTorch: `h_n`, the last h |
# | lengths of source and target | S, T | Sutskever: T, T'; Bahdanau: T_x, T_y |
# | width of a recurrent layer | `hidden_dim` H | hidden_size, units, n |
# | after the softmax | **weights** | alpha, a; Keras: `attention_scores` |
# | sequences followed at a time | `beam_width` | beam size, num_beams, k |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.applications import AttentionSeq2Seq
from keras_attention.applications import RNNSeq2Seq
from keras_attention.backend.gradients import gradient
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import TokenCrossentropy

STEPS = int(os.environ.get("STEPS", 1200))  # of each training, 64 strings each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The problem: strings whose content is known
#
# Random strings of eight letters, to be repeated. Of each letter nothing can be guessed
# from the others, so it costs log2(8) = 3 bits, and a string of n letters 3 n. Whoever
# repeats it must have been handed them all.

# %%
LETTERS, BITS, LONGEST, BATCH = "abcdefgh", 3, 16, 64
alphabet = Vocabulary(list(LETTERS), split="characters")


def make_strings(lengths):
    return ["".join(rng.choice(list(LETTERS), size=length)) for length in lengths]


def encode(strings):
    return alphabet.encode(strings, LONGEST + 2)  # [start] ... [end] [pad]


def inputs_of(sources, targets):
    return {"encoder_token_ids": sources, "decoder_token_ids": targets[:, :-1]}


for text in make_strings([1, 4, LONGEST]):
    print(f"{BITS * len(text):2} bits: {text}")

# %% [markdown]
# ## The equations
#
# With x the tokens of the source, y those of the target, and two recurrent networks f
# and g, the encoder and the decoder are
#
# $$h_t = f(x_t, h_{t-1}) \qquad c = h_S \qquad s_0 = c \qquad
# s_t = g(y_{t-1}, s_{t-1}, c) \qquad \text{logits}_t = s_t V + b$$
#
# With Cho et al. (2014, [arXiv:1406.1078](https://arxiv.org/abs/1406.1078)), the
# context enters each step of the decoder. With Sutskever et al. it is where the decoder
# begins, and no more: $s_t = g(y_{t-1}, s_{t-1})$. Both f and g are gated units here:
# z says how much of the state stays, r what of it the new part may see.


# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, state, W, U, b):
    """One step; the gates z and r and the new part stand side by side in W and U."""
    x_z, x_r, x_new = np.split(x @ W + b[0], 3)
    h_z, h_r, h_new = np.split(state @ U + b[1], 3)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    return z * state + (1 - z) * np.tanh(x_new + r * h_new)  # (H,)


def read(tokens, table, *weights):
    h = np.zeros(weights[1].shape[0])
    for token in tokens:
        h = gru(table[token], h, *weights)
    return h  # (H,), the context


def write(tokens, context, table, W, U, b, V, b_V, repeat_context):
    s, logits = context, []
    for token in tokens:
        y = np.concatenate([table[token], context]) if repeat_context else table[token]
        s = gru(y, s, W, U, b)
        logits.append(s @ V + b_V)
    return np.array(logits)  # (T, V)


# %% [markdown]
# The library's model with the same weights gives the same logits. `reverse_source` is
# off for now, so it reads from left to right. All of the source that `write` is given
# is one vector, here of 5 numbers.

# %%
SIZES = {
    "source_vocabulary": alphabet,
    "target_vocabulary": alphabet,
    "word_dim": 16,
    "num_layers": 1,
    "cell": "gru",
    "max_length": LONGEST + 1,
}
example = alphabet.encode(["badge"])  # (1, 7) with [start] and [end]
for repeat_context in (False, True):
    model = RNNSeq2Seq(
        **SIZES, hidden_dim=5, reverse_source=False, repeat_context=repeat_context
    )
    logits = ops.convert_to_numpy(model(inputs_of(example, example)))[0]
    context = read(example[0], *model.encoder.get_weights())
    by_hand = write(
        example[0, :-1], context, *model.decoder.get_weights(), repeat_context
    )
    np.testing.assert_equal(logits.shape, by_hand.shape)
    np.testing.assert_allclose(logits, by_hand, atol=1e-5)
    print(logits.shape, "largest difference", f"{np.abs(logits - by_hand).max():.0e}")

# %% [markdown]
# ## The bottleneck
#
# We train the model of Sutskever et al. at five widths, each on the same strings of 1
# to 16 letters, and each of them seen once.

# %%
training = encode(make_strings(rng.integers(1, LONGEST + 1, size=STEPS * BATCH)))
TESTS = min(256, 16 * STEPS)  # strings of each length
LENGTHS = np.arange(1, LONGEST + 1)
tests = make_strings(np.repeat(LENGTHS, TESTS))
test_ids = encode(tests)


def train(model, targets=training):
    rate = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=STEPS)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), TokenCrossentropy())
    inputs = inputs_of(training, targets)
    model.fit(inputs, targets[:, 1:], batch_size=BATCH, verbose=0)
    return model


# %% [markdown]
# Two numbers for each length. First, how many strings come out **without a mistake**,
# each letter predicted from the true ones before. Second, how many of the 3 n **bits**
# arrive: who knows nothing gives each letter 1/8, and pays 3 bits for it. Whoever gives
# the right letter the probability p pays $-\log_2 p$. What is saved came through the
# vector; there is no other way.
#
# $$\text{bits}(n) = 3 n + \sum_{t=1}^{n} \log_2 p(y_t \mid y_{<t}, c)$$


# %%
def measure(model):
    """Strings without a mistake and bits that arrive, by length; letters by place."""
    logits = model.predict(inputs_of(test_ids, test_ids), batch_size=512, verbose=0)
    following = test_ids[:, 1:]
    is_right = (logits.argmax(axis=-1) == following) | (following == 0)  # (B, T)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # (B, T, V)
    log_p = np.take_along_axis(log_p, following[:, :, None], axis=-1)[:, :, 0]
    bits = ((BITS + log_p / np.log(2)) * (following >= 4)).sum(axis=1)  # letters only
    right, bits = (
        x.reshape(len(LENGTHS), TESTS).mean(axis=1)
        for x in (is_right.all(axis=1), bits)
    )
    return right, bits, is_right[-TESTS:, :LONGEST].mean(axis=0)


SHOWN = [1, 2, 4, 6, 8, 10, 12, 14, 16]
results = {}


def report(name, model):
    results[name] = right, bits, _ = measure(model)
    print(f"{name:20} {model.count_params():7,} weights")
    print("  right", *(f"{right[n - 1]:4.0%}" for n in SHOWN))
    print("  bits ", *(f"{bits[n - 1]:4.1f}" for n in SHOWN))


WIDTHS = [8, 16, 32, 64, 128] if STEPS > 10 else [64]
squeezed = {}
print("  letters", *(f"{n:4}" for n in SHOWN))
for width in WIDTHS:
    squeezed[width] = train(RNNSeq2Seq(**SIZES, hidden_dim=width))
    report(f"one vector of {width}", squeezed[width])

# %% [markdown]
# ## A context for each letter
#
# The encoder of `AttentionSeq2Seq` reads in both directions and keeps all of its
# states. The decoder mixes a new context of them for each letter (Bahdanau et al. 2015,
# [arXiv:1409.0473](https://arxiv.org/abs/1409.0473)), by weights that
# [the first tutorial](01_additive_attention.ipynb) builds by hand:
#
# $$c_t = \sum_{i=1}^{S} \text{weights}_{ti} \, h_i \qquad
# s_t = g(y_{t-1}, s_{t-1}, c_t)$$
#
# It gets the smallest width.

# %%
aligner = train(AttentionSeq2Seq(**SIZES, hidden_dim=8))
ATTENTION = "attention, 8"
report(ATTENTION, aligner)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
colours = plt.get_cmap("viridis")(np.linspace(0.85, 0.0, len(WIDTHS)))
for width, colour in zip(WIDTHS, colours, strict=True):
    for i, panel in enumerate(axes):
        name = f"one vector of {width}"
        panel.plot(LENGTHS, results[name][i], color=colour, label=name)
for i, panel in enumerate(axes):
    panel.plot(LENGTHS, results[ATTENTION][i], "--", color="tab:red", label=ATTENTION)
axes[1].plot(LENGTHS, BITS * LENGTHS, ":", color="grey", label="all of them")
axes[0].set_ylabel("strings without a mistake")
axes[1].set_ylabel("bits that arrive")
for panel in axes:
    panel.set_xlabel("letters of the string")
_ = axes[1].legend(fontsize=8)

# %% [markdown]
# On the left, each width knows short strings and fails from some length on. On the
# right stands why. The curves leave the dotted line and bend towards a ceiling, near 11
# bits for 8 numbers, 22 for 16, 32 for 32. Longer strings bring no more through: what
# there is must be shared among more letters. Twice the numbers cost two to four times
# the weights, and only move the ceiling.
#
# It is no ceiling of memory, since 8 numbers of 32 bits could hold 256. It is what the
# two networks learn to pack and to unpack within the steps that they get, and more
# steps raise it (exercise 1).
#
# With attention nothing must be packed. What is handed over grows with the string, here
# by 16 numbers a token, 8 from each direction. So fewer weights than those of the
# vector of 16 repeat what 114,060 could not.

# %% [markdown]
# ## See the vector
#
# Sutskever et al. draw the vectors of some sentences in a plane (Figure 2). We do it
# with strings of four letters, in the two directions in which their vectors differ
# most. A point is a string.

# %%
short = make_strings([4] * min(500, 64 * STEPS))
figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
_, contexts = squeezed[64].encoder(encode(short), return_state=True)
contexts = ops.convert_to_numpy(contexts)[:, 0]  # (B, H)
contexts = contexts - contexts.mean(axis=0)
_, _, directions = np.linalg.svd(contexts, full_matrices=False)
across, up = (contexts @ directions[:2].T).T
for panel, place in zip(axes, (0, 3), strict=True):
    colours = [LETTERS.index(text[place]) for text in short]
    panel.scatter(across, up, c=colours, cmap="tab10", s=6)
    panel.set_title(f"coloured by letter {place + 1}")

# %% [markdown]
# The first letter, which this encoder reads last, sorts them into areas. The fourth was
# read first. It is in the vector too, or the string could not be repeated, but in other
# directions: all letters share the same 64 numbers.
#
# ## Reading backwards
#
# Sutskever et al. let the encoder read the last word first, and do not turn the target.
# Their BLEU rose from 25.9 to 30.6 by that (Section 3.3). It is the default of
# `RNNSeq2Seq`, so all models above did it. Now one reads from left to right.

# %%
forward = RNNSeq2Seq(**SIZES, hidden_dim=64, reverse_source=False)
report("left to right, 64", train(forward))

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for name, style in {
    "one vector of 64": "o-",
    "left to right, 64": "s--",
    ATTENTION: "^:",
}.items():
    axes.plot(LENGTHS, results[name][2], style, label=name)
axes.axhline(1 / len(LETTERS), color="grey", linewidth=0.8)
axes.set_xlabel(f"place of the letter, of {LONGEST}")
axes.set_ylabel("letters right")
axes.set_ylim(0, 1.05)
_ = axes.legend()

# %% [markdown]
# Of the strings of 10 letters 89 % are repeated when they are read backwards, and 34 %
# from left to right, by a vector of the same width. The picture is of strings of 16
# letters. From left to right it is the late ones that get lost; read backwards, all
# places fare alike.

# %% [markdown]
# ## How far a gradient reaches
#
# Why should the order matter, if as much goes into the vector? Take the loss of one
# letter that is written, and its gradient at each place of the source: how much this
# loss tells the encoder about what it reads there. It comes back through the steps of
# both networks. We count them between a letter and the place where it must be written:
#
# - from left to right 17 steps, for each of the letters;
# - read backwards 2 steps for the first, 4 for the second, 32 for the last. The mean is
#   17 as well;
# - with attention one step of the encoder, and then the context.
#
# The models are new, and have learned nothing: that is when a gradient must find out
# what is worth keeping.

# %%
probes = encode(make_strings([LONGEST] * 8))


def reach(model):
    """Norm of the gradient of each letter's loss at each place, (T, S)."""
    encoder, decoder = model.encoder, model.decoder
    T, S = LONGEST, LONGEST + 2
    # A copy of all strings for each letter t, of which only that letter's loss counts.
    token_ids = np.tile(probes, (T, 1))  # (T B, S)
    counts = np.repeat(np.eye(T, dtype="float32"), len(probes), axis=0)  # (T B, T)

    def loss(tensors):
        (x,) = tensors  # (T B, S, D)
        read = [layer(x) for layer in (*encoder.forwards, *encoder.backwards)]
        outputs, state = read[0]
        source = [state[:, None]]
        if encoder.bidirectional:
            backward, state = read[1]
            backward = ops.flip(backward, axis=1)  # each at its place
            source = [ops.concatenate([outputs, backward], axis=-1), state[:, None]]
        logits = decoder(token_ids[:, :T], *source)
        losses = ops.sparse_categorical_crossentropy(
            token_ids[:, 1 : T + 1], logits, from_logits=True
        )
        return ops.sum(ops.multiply(losses, counts))

    (slope,) = gradient(loss, [encoder.embedding(token_ids)])
    slope = ops.convert_to_numpy(slope).reshape(T, len(probes), S, -1)
    return np.linalg.norm(slope, axis=-1).mean(axis=1)[:, 1:-1]  # letters only


beginners = {
    "left to right": RNNSeq2Seq(**SIZES, hidden_dim=64, reverse_source=False),
    "reversed": RNNSeq2Seq(**SIZES, hidden_dim=64),
    "attention": AttentionSeq2Seq(**SIZES, hidden_dim=64),
}
reached = {name: reach(model) for name, model in beginners.items()}
print("letter        ", *(f"{n:5}" for n in SHOWN))
for name, norms in reached.items():
    needed = norms.diagonal()  # of letter t at the place where it stands
    print(f"{name:14}", *(f"{norm:.0e}" for norm in needed[np.array(SHOWN) - 1]))

# %%
figure, axes = plt.subplots(
    1, 4, figsize=(13, 3.2), layout="constrained", width_ratios=[1, 1, 1, 1.4]
)
EXTENT = (0.5, LONGEST + 0.5, LONGEST + 0.5, 0.5)  # places are counted from 1
styles = ("s--", "o-", "^:")
for panel, (name, norms), style in zip(axes[:3], reached.items(), styles, strict=True):
    drawn = panel.imshow(
        np.log10(norms), cmap="viridis", vmin=-8, vmax=-1, extent=EXTENT
    )
    panel.set_title(name)
    panel.set_xlabel("place in the source")
    axes[3].plot(LENGTHS, norms.diagonal(), style, markersize=4, label=name)
axes[0].set_ylabel("letter that is written")
figure.colorbar(drawn, ax=axes[2], label="log10 of the gradient")
axes[3].set_yscale("log")
axes[3].set_xticks(SHOWN)
axes[3].set_xlabel("letter that is written")
axes[3].set_ylabel("gradient where it stands")
_ = axes[3].legend()

# %% [markdown]
# Dark is little. Read backwards, each step leaves some 60 % of a gradient. The first
# letter gets a thousand times as much as from left to right, the last a thousandth.
# That seems a poor bargain with the same mean, and is a good one: there is somewhere to
# begin. Sutskever et al. suspect the same: many short distances help to find the long
# ones.
#
# With attention all letters are near. The picture is even, since the weights are still
# the same everywhere: which place to read must be learned, but no longer how to keep
# what is there.

# %% [markdown]
# ## See the alignment
#
# A second model is to spell the strings backwards, with 16 numbers. It scores by a
# product, $s W h$ (Luong et al. 2015,
# [arXiv:1508.04025](https://arxiv.org/abs/1508.04025)), with the state after the step
# in place of the one before. `translate` returns the weights, (B, T, S).

# %%
backwards = encode(["".join(reversed(s)) for s in alphabet.decode(training)])
speller = AttentionSeq2Seq(**SIZES, hidden_dim=16, score="general")
train(speller, backwards)

longest = ["beachheadfacecab", *tests[-TESTS:]]
figure, axes = plt.subplots(1, 2, figsize=(8.5, 4.2), layout="constrained")
cases = [("additive, repeats", aligner, 1), ("product, backwards", speller, -1)]
for panel, (name, model, order) in zip(axes, cases, strict=True):
    written, weights = model.translate(
        longest, beam_width=1, return_attention_scores=True
    )
    right = np.mean([a == b[::order] for a, b in zip(written, longest, strict=True)])
    print(f"{name:18} {written[0]}, {right:.1%} without a mistake", weights.shape)
    columns = ["[start]", *longest[0], "[end]"]
    panel.imshow(weights[0, : len(written[0])], cmap="Greys", vmin=0, vmax=1)
    panel.set_title(name)
    panel.set_xticks(range(len(columns)), columns, rotation=90)
    panel.set_yticks(range(len(written[0])), written[0])

# %% [markdown]
# Each row is a letter that is written, each column a token that was read. What is
# repeated lies on the diagonal, what is spelled backwards on the other one. Nobody told
# the models. Letters that occur several times are read in the right place each time:
# the state of the decoder asks for a place, not for a letter. Some weight falls on the
# neighbours, whose states know the letter as well, as the encoder reads in both
# directions.

# %% [markdown]
# ## Greedy, or with a beam
#
# What the vector lost leaves several strings possible. Greedy search writes the
# likeliest letter each time and cannot take it back. A beam of 8 follows the eight
# likeliest beginnings. One vector of 64 numbers is to repeat 12 letters:

# %%
hard = tests[11 * TESTS : 12 * TESTS]  # 12 letters
searched = {}
for beam_width in (1, 8):
    searched[beam_width] = squeezed[64].translate(
        hard, beam_width, return_log_probabilities=True, batch_size=TESTS
    )
    written, log_p = searched[beam_width]
    right = np.mean([a == b for a, b in zip(written, hard, strict=True)])
    print(
        f"beam of {beam_width}: {right:.1%} right, log-probability {log_p.mean():.2f}"
    )
differ = [i for i in range(TESTS) if searched[1][0][i] != searched[8][0][i]]
print("others with the beam:", len(differ))
for i in differ[:2]:
    print("\nto say ", hard[i])
    for beam_width, (written, log_p) in searched.items():
        print(f"beam {beam_width} ", written[i], log_p[i].round(2))

# %% [markdown]
# With the beam the model finds strings that it thinks likelier itself, and more of them
# are right. Letters change places where it was in doubt. A beam makes the best of what
# came through the vector; what did not come it cannot find.
#
# ## Exercises
#
# 1. Train longer, with `STEPS=6000`. How many bits arrive through 8 numbers now?
# 2. Take four letters (`LETTERS = "abcd"`, `BITS = 2`). Is it the letters that do not
#    fit into a vector, or the bits?
# 3. Let the context enter each step (`repeat_context=True`), take an LSTM
#    (`cell="lstm"`), or two layers. What do they gain, and what do they cost?
# 4. Let the encoder without attention read in both directions. Is the order still of
#    importance?
# 5. Draw `reach` for the models that are trained. Where does attention learn from now?
# 6. Let `aligner` and the vector of 128 repeat strings of 24 letters (`max_length=25`),
#    longer than any that they learned. Draw the alignment.
#
# ## Where it is in the library
#
# - `keras_attention.applications.RNNSeq2Seq` is made of
#   `keras_attention.layers.RNNEncoder` and `keras_attention.layers.RNNDecoder`.
# - `keras_attention.applications.AttentionSeq2Seq` has the same encoder, and
#   `keras_attention.layers.BahdanauDecoder` or `keras_attention.layers.LuongDecoder`.
# - `keras_attention.visualization.show_alignment` draws an alignment that one can point
#   at.
# - [Sequence to sequence](../docs/sequence_to_sequence.md) shows the bottleneck on the
#   words of a dictionary, by their length.

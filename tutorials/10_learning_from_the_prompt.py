# %% [markdown]
# # Learning from the prompt
#
# Command: `python tutorials/10_learning_from_the_prompt.py`, about three minutes on two
# CPU cores.
# Expected: a GPT of two blocks names the right color for more than 99 % of the animals
# that its prompt has shown once, of tables that it never saw in training; with one
# block about half, and without its induction heads few.
#
# GPT-3 is given a few examples of a task in its prompt, and goes on with the next one
# (Brown et al. 2020, [arXiv:2005.14165](https://arxiv.org/abs/2005.14165), Section
# 1). No weight changes: what is learned is in the prompt alone. How can a fixed network
# learn? Here is one so small that we can find the heads that do it, and take them away.

# %% [markdown]
# ## Words that differ
#
# As in [A small GPT speaks](07_a_small_gpt_speaks.ipynb). New are those of prompts.
#
# | meaning | here | elsewhere |
# |---|---|---|
# | examples in the prompt | examples | demonstrations, shots |
# | to solve a task from them | learning from the prompt | in-context learning |
# | to change weights | training | fine-tuning, gradient updates |
# | reads what followed the same token | induction head | prefix matching head |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.applications import GPT2
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import attention_maps
from keras_attention.visualization import head_statistics
from keras_attention.visualization import show_heads

STEPS = int(os.environ.get("STEPS", 1500))  # of each training, 64 prompts each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The problem: a new table in every prompt
#
# A task is a table that gives each of five animals one of eight colors. A prompt shows
# twelve animals with their colors, drawn again and again from the table, and no table
# is ever told in another way:
#
#     owl red cat blue owl red pig green ...
#
# There are 8^5 = 32,768 tables. Those whose numbers sum to a multiple of four, a
# quarter, are left out of the training and only tested. So nothing that was learned by
# heart can help.

# %%
ANIMALS = "cat cow owl pig dog".split()
COLORS = "red blue green black white pink brown gray".split()
EXAMPLES = 12
words = Vocabulary.from_captions([" ".join(ANIMALS + COLORS)])
ANIMAL_IDS, COLOR_IDS = (
    np.array(words.encode([" ".join(texts)])[0, 1:-1]) for texts in (ANIMALS, COLORS)
)


def draw_prompts(count, is_test):
    """Prompts, (count, 2 EXAMPLES), of tables of the one kind or the other."""
    tables = rng.integers(0, len(COLORS), (8 * count, len(ANIMALS)))
    tables = tables[(tables.sum(axis=1) % 4 == 0) == is_test][:count]
    animals = rng.integers(0, len(ANIMALS), (count, EXAMPLES))
    prompts = np.zeros((count, 2 * EXAMPLES), "int32")
    prompts[:, ::2] = ANIMAL_IDS[animals]
    prompts[:, 1::2] = COLOR_IDS[np.take_along_axis(tables, animals, axis=1)]
    return prompts


training, testing = draw_prompts(64 * STEPS, False), draw_prompts(1000, True)
for text in words.decode(testing[:2]):
    print(text)

# %% [markdown]
# ## The equation
#
# A language model says how probable each next token is, given those before. A prompt of
# examples $(x_i, y_i)$ makes it a classifier, whose training set is the prompt:
#
# $$\hat y = \arg\max_y \; p(y \mid x_1, y_1, \dots, x_n, y_n, x)$$
#
# What should it answer here? The color that came after the same animal before, if that
# animal was there; else any. In NumPy, for all places of all prompts:


# %%
def by_rule(prompts):
    """The token after each, by the rule, (B, T); 0 where it knows none."""
    answers = np.zeros_like(prompts)
    for t in range(prompts.shape[1]):
        for j in range(t):  # the last of them wins
            same = prompts[:, j] == prompts[:, t]
            answers[same, t] = prompts[same, j + 1]
    return answers


AT_ANIMALS = np.arange(0, 2 * EXAMPLES - 1, 2)  # whose next token is a color
animals = testing[:, ::2]
seen = np.array(
    [[np.sum(row[:i] == row[i]) for i in range(EXAMPLES)] for row in animals]
)


def share_right(answers):
    """The share of right colors, by how often the prompt had shown the animal."""
    right = answers[:, AT_ANIMALS] == testing[:, AT_ANIMALS + 1]
    return [right[seen == count].mean() for count in range(5)]


def tell(name, shares):
    print(f"{name:26}", *(f"{share:7.1%}" for share in shares))


print(f"{'shown before':26}", *(f"{count:7}" for count in range(5)))
tell("the rule", share_right(by_rule(testing)))
tell("any color", [1 / len(COLORS)] * 5)

# %% [markdown]
# ## The model
#
# `GPT2` with two blocks of two heads. It learns the next token at the places of the
# colors; the animals cannot be foretold and have the weight 0. Each prompt is seen
# once. The feed-forward networks are narrow, 4 numbers wide, so that attention has to
# do the work.


# %%
def build(num_layers):
    return GPT2(
        vocabulary_size=len(words),
        max_length=2 * EXAMPLES,
        hidden_dim=64,
        num_layers=num_layers,
        num_heads=2,
        mlp_dim=4,
        dropout=0.0,
        attention_dropout=0.0,
        embedding_dropout=0.0,
        initializer_range=0.1,
        seed=0,
    )


def prepare(prompts):
    token_ids, following = prompts[:, :-1], prompts[:, 1:]
    weights = np.zeros(following.shape, "float32")
    weights[:, AT_ANIMALS] = 1.0
    inputs = {"token_ids": token_ids, "padding_mask": token_ids > 0}
    return inputs, following, weights


def train(model):
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=STEPS, warmup_target=0.006, warmup_steps=STEPS // 20
    )
    adam = keras.optimizers.Adam(rate, clipnorm=1.0)
    model.compile(adam, TokenCrossentropy(padding_id=None))
    inputs, colors, weights = prepare(training)
    model.fit(inputs, colors, sample_weight=weights, batch_size=64, verbose=0)


def answer(model):
    """What the model finds most probable behind each token of the test prompts."""
    return model.predict(prepare(testing)[0], verbose=0).argmax(axis=-1)


model = build(num_layers=2)
train(model)
print(f"{'shown before':26}", *(f"{count:7}" for count in range(5)))
tell("two blocks", share_right(answer(model)))

# %% [markdown]
# An animal that the prompt has not shown yet gets any color. Shown once, it gets its
# own, though no such table was trained on. A prompt of words, as one would type it:


# %%
def ask(prompt):
    token_ids = words.encode([prompt])[:, 1:-1]  # without [start] and [end]
    return words.decode(model.generate(token_ids, max_new_tokens=1))[0]


print(ask("owl red cat blue pig green owl"))
print(ask("owl pink cat blue pig green owl"))
print(ask("owl pink cat blue pig green cat"))

# %% [markdown]
# The same weights, three answers.
#
# ## See the heads
#
# `head_statistics` describes what each head reads; given the tokens it also says how
# much of the weight lies on what **followed the same token before**. A head that reads
# there is called an induction head (Olsson et al. 2022,
# [arXiv:2209.11895](https://arxiv.org/abs/2209.11895)).

# %%
inputs = prepare(testing)[0]
maps = attention_maps(model, inputs)
statistics = head_statistics(maps, token_ids=inputs["token_ids"])
HEADS = [(block, n) for block in (0, 1) for n in (0, 1)]
print(" " * 14, *(f"block {block}, head {n}" for block, n in HEADS), sep="  ")
for name in ("previous_token", "induction"):
    row = (f"{statistics[name][place]:15.2f}" for place in HEADS)
    print(f"{name:14}", *row, sep="  ")

# %% [markdown]
# A head of the first block reads the token just before: so each color knows which
# animal it belongs to. Those of the second block read, from an animal, the color that
# came after it. (The numbers are means over all tokens that read; a color has no use
# for what followed it.) Two steps, which is why two blocks are needed. One prompt, a
# row for each token that reads:

# %%
show_heads(maps, queries=words.decode(testing[:1, :-1])[0].split(), index=0).figure()

# %% [markdown]
# ## What goes wrong without it
#
# **Without the heads.** What a head reads is not yet what it is good for. So we take
# one away, by setting its rows of $W_o$ to zero, and count again.


# %%
def without(*heads):
    """The shares of right colors when these heads of the model add nothing."""
    kernels = [block.self_attention.output_kernel for block in model.decoder.blocks]
    before = [ops.convert_to_numpy(kernel) for kernel in kernels]  # (N H, D) each
    silent = [kernel.reshape(2, 32, -1).copy() for kernel in before]
    for block, n in heads:
        silent[block][n] = 0.0
    for kernel, value in zip(kernels, silent, strict=True):
        kernel.assign(value.reshape(kernel.shape))
    shares = share_right(answer(model))
    for kernel, value in zip(kernels, before, strict=True):
        kernel.assign(value)
    return shares


print(f"{'shown before':26}", *(f"{count:7}" for count in range(5)))
for place in HEADS:
    tell("without block {}, head {}".format(*place), without(place))
tell("without both of block 1", without((1, 0), (1, 1)))

# %% [markdown]
# Either head of the second block can be missed, as both do the same work; without both
# the model guesses. The head of the first block that reads the token before is missed
# much, the other one little.
#
# **With one block** no color knows which animal came before it, when it is read.

# %%
single = build(num_layers=1)
train(single)
shares = {"two blocks": share_right(answer(model)), "one block": None}
shares["one block"] = share_right(answer(single))
shares["without induction heads"] = without((1, 0), (1, 1))
print(f"{'shown before':26}", *(f"{count:7}" for count in range(5)))
for name, values in shares.items():
    tell(name, values)

# %%
figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, values in shares.items():
    axis.plot(range(5), values, marker="o", label=name)
axis.axhline(1 / len(COLORS), color="gray", linestyle=":", label="any color")
axis.set_xticks(range(5))
axis.set_xlabel("how often the prompt had shown the animal")
axis.set_ylabel("share of right colors")
axis.set_ylim(0, 1.05)
axis.legend()

# %% [markdown]
# One block still learns something: a color that is in the prompt is more probable than
# one that is not, and the more so the more often it is there. The two blocks without
# their induction heads were never trained to do without, and guess.
#
# What the picture does not show: that GPT-3 learns from its prompts in just this way.
# Induction heads appear in language models of many sizes, at the moment at which these
# begin to use what stands far back (Olsson et al. 2022); of tasks that need more than
# copying, such as translation, less is known.
#
# ## Exercises
#
# 1. Give the table sixteen animals and prompts of 24 examples. How many more steps does
#    it take until the induction heads are there?
# 2. Change a table in the middle of a prompt. Which of two colors wins?
# 3. Let the colors depend on a number: $y = w x$ of vectors (Garg et al. 2022,
#    [arXiv:2208.01066](https://arxiv.org/abs/2208.01066)). Is copying enough?
# 4. Give the feed-forward networks 128 numbers. A single block then solves most of the
#    prompts, too. How, when it has no induction heads? Which prompts would stop it?
# 5. Plot the induction of the best head after every hundred steps beside the loss.
#
# ## Where it is in the library
#
# - `keras_attention.applications.GPT2` with `generate`.
# - `keras_attention.visualization.head_statistics` finds the heads,
#   `keras_attention.visualization.show_heads` shows them.
# - `applications` has the sizes of GPT-3 as presets: `GPT2.from_preset("gpt3_small",
#   load_weights=False)`.

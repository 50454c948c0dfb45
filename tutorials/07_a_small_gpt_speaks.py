# %% [markdown]
# # A small GPT speaks
#
# Command: `python tutorials/07_a_small_gpt_speaks.py`, about two minutes on two CPU
# cores.
# Expected: a GPT of two blocks comes within 2 % of the best perplexity that is
# possible, and more than 90 % of the sentences that it writes are right; without the
# causal mask it seems to be better than possible, and writes hardly a right sentence.
#
# A language model says how probable the next word is, given all words before it. That
# is all that GPT-2 was trained for (Radford et al. 2019), and all it needs to write.
# Here is one that learns a language of which we know every probability, so that we can
# say how good it is, and what becomes of it when we draw the words in another way.

# %% [markdown]
# ## Words that differ
#
# As in [the first tutorial](01_additive_attention.ipynb). New are those of writing.
#
# | meaning | here | elsewhere |
# |---|---|---|
# | before the softmax over words | logits | scores, energies |
# | word, part of a word | token | subword, piece |
# | length of a text | T | L, n_ctx, block_size |
# | number of tokens to choose from | `vocabulary_size` V | vocab_size, n_vocab |
# | what the loss is | mean of -log p, in nats | cross-entropy; in bits: / log 2 |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention import layers
from keras_attention.applications import GPT2
from keras_attention.generation import RandomSampler
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import Perplexity
from keras_attention.training import TokenCrossentropy

STEPS = int(os.environ.get("STEPS", 600))  # of each training, 64 sentences each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The problem: a language whose probabilities are known
#
# Animals, one or two of a kind, that see and hear others, and then make their sound:
# "two dogs that see a cat bark". Some animals are rare: that of rank r is as frequent
# as 1 / r. All else is drawn evenly.
#
# The last word follows from the **second**, however much stands between: dogs bark, a
# dog barks. The last animal before it does not matter. A model that looks at the last
# few words only cannot know it.

# %%
ANIMALS = "dog cat cow duck pig owl bee frog".split()
SOUNDS = "bark meow moo quack grunt hoot hum croak".split()
SHARE = 1 / np.arange(1, 9) / (1 / np.arange(1, 9)).sum()  # of each animal
CLAUSES = (0.3, 0.4, 0.3)  # how often none, one and two


def animal():
    """An animal's number and rank, and log p."""
    is_many, rank = rng.random() < 0.5, rng.choice(8, p=SHARE)
    return is_many, rank, np.log(0.5 * SHARE[rank])


def sentence():
    """A sentence, and log p of it."""
    is_many, rank, log_p = animal()
    words = ["two", ANIMALS[rank] + "s"] if is_many else ["a", ANIMALS[rank]]
    count = rng.choice(3, p=CLAUSES)
    log_p += np.log(CLAUSES[count])
    for i in range(count):
        verb = rng.choice(["see", "hear"])
        other_many, other, other_log_p = animal()
        words += ["that" if i == 0 else "and", verb if is_many else verb + "s"]
        words += ["two", ANIMALS[other] + "s"] if other_many else ["a", ANIMALS[other]]
        log_p += np.log(0.5) + other_log_p
    words.append(SOUNDS[rank] if is_many else SOUNDS[rank] + "s")
    return " ".join(words), log_p


sentences = [sentence()[0] for _ in range(max(STEPS, 100) * 64)]
test, log_p = zip(*(sentence() for _ in range(1000)), strict=True)
for text in test[:4]:
    print(text)

# %% [markdown]
# ## The equation
#
# The probability of a text is a product, each token given those before it, and the loss
# is minus its logarithm, per token:
#
# $$p(x_1 \dots x_T) = \prod_t p(x_t \mid x_1 \dots x_{t-1}) \qquad
# \text{loss} = -\frac{1}{T} \sum_t \log p(x_t \mid x_1 \dots x_{t-1})$$
#
# Its exponential is the **perplexity**: among how many tokens, all equally probable,
# one would hesitate as much. Of our language we know it, since we know log p of each
# sentence: no model can have less, except by luck. An end token, which is certain
# behind the sound, tells that a sentence is over.

# %%
words = Vocabulary.from_captions(sentences)
LENGTH = 13  # [start], 11 words and [end]
training, testing = (words.encode(list(texts), LENGTH) for texts in (sentences, test))
COUNT = np.count_nonzero(testing[:, 1:])  # tokens to predict in the test sentences
best = np.exp(-np.sum(log_p) / COUNT)
print("tokens", len(words), " the best perplexity", f"{best:.3f}")

# %% [markdown]
# What is reached by counting? A **trigram** says how often a word came after the two
# words before it.


# %%
def trigram_perplexity(training, testing, k=0.1):
    """Of counts, to each of which k is added."""
    size = len(words)
    counts = np.zeros((size, size, size))
    for row in training:
        row = np.concatenate([[0], row[row > 0]])  # 0 stands before [start]
        np.add.at(counts, (row[:-2], row[1:-1], row[2:]), 1)
    p = (counts + k) / (counts.sum(axis=-1, keepdims=True) + k * size)
    total = 0.0
    for row in testing:
        row = np.concatenate([[0], row[row > 0]])
        total += np.log(p[row[:-2], row[1:-1], row[2:]]).sum()
    return np.exp(-total / COUNT)


print(f"trigram {trigram_perplexity(training, testing):.3f}")

# %% [markdown]
# ## Choosing the next token
#
# A model gives a logit for each token. Three ways to choose one:
#
# - **greedy**: the most probable, each time;
# - at a **temperature** $\tau$: drawn from $p = \text{softmax}(\text{logits} / \tau)$;
#   below 1 the probable becomes more so, above 1 less;
# - of the **nucleus**: drawn from the fewest tokens whose probabilities sum to `top_p`
#   (Holtzman et al. 2020, [arXiv:1904.09751](https://arxiv.org/abs/1904.09751)).
#
# In NumPy that is six lines:


# %%
def choose(logits, uniform, temperature=1.0, top_p=1.0):
    """A token from its logits, (V,), and a random number from 0 to 1."""
    p = np.exp((logits - logits.max()) / temperature)
    order = np.argsort(-p)  # the most probable first
    p = p[order] / p.sum()
    p = np.where(np.cumsum(p) - p < top_p, p, 0.0)
    sums = np.cumsum(p) / p.sum()
    return order[np.searchsorted(sums, uniform, side="right")]


# %% [markdown]
# A case to check by hand: the probabilities 1/2, 1/4, 1/8, 1/8. At the temperature 1/2
# they are squared, 16 : 4 : 1 : 1, so the first has 16/22 = 0.73. A nucleus of 0.7 has
# two tokens, with 2/3 and 1/3.

# %%
logits = np.log([1 / 2, 1 / 4, 1 / 8, 1 / 8])
numbers = (np.arange(22_000) + 0.5) / 22_000
for options in ({}, {"temperature": 0.5}, {"top_p": 0.7}):
    drawn = [choose(logits, number, **options) for number in numbers]
    print(f"{options!s:20}", np.bincount(drawn, minlength=4) / len(drawn))

# %% [markdown]
# The same through the library, for many logits and numbers:

# %%
logits = rng.normal(size=(200, 1, 9)).astype("float32")  # (B, 1, V)
numbers = rng.random((200, 1)).astype("float32")
sampler = RandomSampler(temperature=0.8, top_p=0.9)
drawn = ops.convert_to_numpy(sampler.choose(logits, numbers))
np.testing.assert_equal(drawn.shape, (200, 1))
by_hand = [
    choose(row, number, 0.8, 0.9)
    for row, number in zip(logits[:, 0], numbers[:, 0], strict=True)
]
print("the same tokens:", np.mean(drawn[:, 0] == by_hand))

# %% [markdown]
# ## The model
#
# `GPT2` with two blocks. Each token reads those before it, by causal self-attention;
# what comes out is compared with all tokens, which gives the logits. All places are
# trained at once: the inputs are the tokens without the last, the targets those without
# the first.

# %%
SIZES = {"hidden_dim": 64, "num_layers": 2, "num_heads": 2, "mlp_dim": 128}
model = GPT2(
    vocabulary_size=len(words),
    max_length=LENGTH,
    end_id=2,
    dropout=0.0,
    attention_dropout=0.0,
    embedding_dropout=0.0,
    **SIZES,
)
print(f"parameters {model.count_params():,}")


def prepare(token_ids):
    """Inputs and targets; padding counts in neither."""
    token_ids, following = token_ids[:, :-1], token_ids[:, 1:]
    return {"token_ids": token_ids, "padding_mask": token_ids > 0}, following


def train(model):
    rate = keras.optimizers.schedules.CosineDecay(0.003, decay_steps=STEPS)
    adam = keras.optimizers.Adam(rate, clipnorm=1.0)
    model.compile(adam, TokenCrossentropy(), metrics=[Perplexity()])
    model.fit(*prepare(training[: STEPS * 64]), batch_size=64, verbose=0)
    found = model.evaluate(*prepare(testing), verbose=0, return_dict=True)
    print(f"perplexity {found['perplexity']:.3f}, the best is {best:.3f}")


train(model)

# %% [markdown]
# The model hesitates where one must: which animal, how many, how many clauses. Where
# the sentence decides, it knows. The trigram hesitates there too.
#
# ## Let it speak
#
# `generate` goes on from a prompt. Greedy, it says the same each time.


# %%
def go_on(begun, sampler, **options):
    """What the model writes behind some words, as `generate` returns it."""
    prompt = words.encode([begun])[:, :-1]  # without [end]
    return model.generate(prompt, sampler=sampler, **options)


for name, sampler in [("greedy", "greedy")] + [
    ("drawn", RandomSampler(temperature=1.0, seed=seed)) for seed in range(3)
]:
    print(f"{name:7}", *words.decode(go_on("two owls that", sampler)))

# %% [markdown]
# From the start token alone we let it write many sentences in each way, and count: how
# many are right by the rules of the language, how many of these differ, and how many of
# the animals are frogs, the rarest. We know what to expect of a perfect model at the
# temperature 1: all right, and frogs in one of 22 places. A nucleus of 0.85 leaves the
# first six animals of eight.


# %%
def is_right(text):
    """Whether a text is a sentence of the language."""
    words = text.split()
    kinds = {word: (rank, False) for rank, word in enumerate(ANIMALS)}
    kinds |= {f"{word}s": (rank, True) for rank, word in enumerate(ANIMALS)}

    def is_animal(pair):
        if len(pair) != 2 or pair[1] not in kinds:
            return False
        return pair[0] == ("two" if kinds[pair[1]][1] else "a")

    if not is_animal(words[:2]):
        return False
    rank, is_many = kinds[words[1]]
    ending = "" if is_many else "s"
    rest, links = words[2:], ["that", "and"]
    while len(rest) > 1:
        if not links or rest[0] != links.pop(0) or not is_animal(rest[2:4]):
            return False
        if rest[1] not in ("see" + ending, "hear" + ending):
            return False
        rest = rest[4:]
    return rest == [SOUNDS[rank] + ending]


print("of the test sentences", np.mean(list(map(is_right, test))))
print("a dog that sees a cat meows:", is_right("a dog that sees a cat meows"))
WRITTEN = min(500, 10 * STEPS)
WAYS = {
    "greedy": "greedy",
    "temperature 0.5": RandomSampler(temperature=0.5, seed=1),
    "temperature 1": RandomSampler(seed=1),
    "temperature 1.5": RandomSampler(temperature=1.5, seed=1),
    "temperature 2": RandomSampler(temperature=2.0, seed=1),
    "top_p 0.85": RandomSampler(top_p=0.85, seed=1),
    "1.5, top_p 0.85": RandomSampler(temperature=1.5, top_p=0.85, seed=1),
}


def describe(texts):
    right = [text for text in texts if is_right(text)]
    named = [w.removesuffix("s") for text in texts for w in text.split()]
    named = [word for word in named if word in ANIMALS]
    frogs = np.mean([word == "frog" for word in named]) if named else 0.0
    return len(right) / len(texts), len(set(right)), frogs


print(f"{'':18}  right  distinct  frogs")
for name, sampler in [("the language", None), *WAYS.items()]:
    texts = [sentence()[0] for _ in range(WRITTEN)]
    if sampler is not None:
        texts = words.decode(model.generate([[1]] * WRITTEN, sampler=sampler))
    share, distinct, frogs = describe(texts)
    print(f"{name:18} {share:6.1%} {distinct:9} {frogs:6.1%}")

# %% [markdown]
# At the temperature 1 the model speaks as the language does, with a few mistakes. Each
# token has a small chance to be one, since no softmax gives exactly zero, and at higher
# temperatures these chances grow: the sentences fall apart. The nucleus cuts them off.
# It cannot tell a mistake from what is rare, so it cuts off the frogs, too. And greedy
# search has one thing to say.
#
# ## See the attention of each step
#
# `generate` also returns what was read to choose each token: (blocks, B, heads, L, T)
# for L new tokens and T tokens in all. We look at the choice of the sound, the last
# word of test sentences with two clauses: which heads read the animal that makes it, in
# the third place behind `[start]` and its number?

# %%
longest = [i for i, text in enumerate(test) if len(text.split()) == 11]
prompts = testing[longest][:200, :11]  # [start] and ten words; the sound is missing
found, weights = model.generate(prompts, max_new_tokens=1, return_attention_scores=True)
print(weights.shape)
print("right sounds", f"{np.mean(found[:, -1] == testing[longest][:200, 11]):.1%}")
at_subject = weights[:, :, :, 0, 2].mean(axis=1)  # (blocks, heads)
for block, n in np.ndindex(at_subject.shape):
    print(f"block {block}, head {n}: {at_subject[block, n]:.2f} on the first animal")

# %%
block, n = np.unravel_index(at_subject.argmax(), at_subject.shape)
begun = "two owls that hear"
sampler = RandomSampler(seed=3)
token_ids, weights = go_on(begun, sampler, return_attention_scores=True)
columns = ["[start]", *words.decode(token_ids)[0].split()]
rows = columns[len(begun.split()) + 1 :]  # the end, though drawn, has no row
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.imshow(weights[block, 0, n, : len(rows), : len(columns)], cmap="Greys", vmin=0)
axes.set_xticks(range(len(columns)), columns, rotation=90)
axes.set_yticks(range(len(rows)), rows)
axes.set_ylabel("written")
axes.set_xlabel(f"read by head {n} of block {block}")
axes.xaxis.tick_top()

# %% [markdown]
# Each row is a token that is written, each column one that is read: only those before
# it, so every row may reach one further than the row above. When the sound is to be
# chosen, the animal at the beginning is read, over the heads of all that stand between.
#
# ## What goes wrong without it
#
# **Without the causal mask** each place may read the next token, which it is asked for.
# The blocks are the same.


# %%
def build_cheater():
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="bool", name="padding_mask")
    embedding = layers.TokenAndPositionEmbedding(len(words), 64, max_length=LENGTH)
    block = layers.TransformerEncoderBlock(2, 128, activation="gelu_tanh")
    x = layers.TransformerEncoder(block, num_layers=2)(
        embedding(token_ids), mask=mask, use_causal_mask=False
    )
    logits = keras.layers.Dense(len(words))(x)
    return keras.Model({"token_ids": token_ids, "padding_mask": mask}, logits)


cheater = build_cheater()
train(cheater)

# %% [markdown]
# A perplexity below the best one that is possible is no success: it proves that the
# model knows what it should predict. When it writes, nothing stands there yet.


# %%
def write(model, count):
    """Sentences, token by token; after each the whole model is asked again."""
    token_ids = np.zeros((count, LENGTH), "int32")
    token_ids[:, 0] = 1  # [start]
    for t in range(LENGTH - 1):
        inputs = {"token_ids": token_ids[:, :-1], "padding_mask": token_ids[:, :-1] > 0}
        logits = model.predict(inputs, verbose=0)[:, t]  # (B, V)
        drawn = [choose(row, rng.random()) for row in logits]
        going_on = (token_ids[:, t] > 0) & (token_ids[:, t] != 2)
        token_ids[:, t + 1] = np.where(going_on, drawn, 0)
    return words.decode(token_ids)


for name, each in {"causal": model, "not causal": cheater}.items():
    texts = write(each, count=min(200, 10 * STEPS))
    print(f"{name:10} right {np.mean(list(map(is_right, texts))):6.1%}  {texts[0]}")

# %% [markdown]
# ## Exercises
#
# 1. Give the model one block, or one head. Which of the numbers above suffers?
# 2. Allow three clauses when it is tested (`LENGTH = 17`, also as `max_length`). Does
#    it still know the sound? What of the positions that it has never seen?
# 3. Let a rare animal's sound be irregular: one frog sings. How many sentences must
#    the model see until it knows?
# 4. Choose by `min_p=0.1` in place of `top_p`. Do frogs come back? Do mistakes?
# 5. Draw with `BeamSearch(beam_width=4)`. Why does it always find the same animals?
# 6. Count the tokens of all sentences and train a 5-gram. How near does it come to the
#    model, and how many counts does it need?
#
# ## Where it is in the library
#
# - `keras_attention.applications.GPT2` is the model, `generate` its method;
#   `keras_attention.generation.RandomSampler` chooses.
# - `keras_attention.data.LanguageModelDataset` makes batches of a text file of any
#   size, without padding, and `keras_attention.tokenizers.train_byte_pairs` its
#   tokens: [pretraining](../docs/pretraining.md).
# - [The third tutorial](03_what_a_head_does.ipynb) takes a small causal model apart.

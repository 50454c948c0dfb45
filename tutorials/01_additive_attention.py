# %% [markdown]
# # A new context for every word
#
# Command: `python tutorials/01_additive_attention.py`, about a minute on two CPU cores.
# Expected: of the sentences with three noun phrases, more than 99 % are translated
# without a mistake with attention, and less than 5 % without.
#
# An encoder reads a sentence, and a decoder writes its translation word by word. At
# first the decoder was given the sentence as one vector, made once and for all.
# Attention makes a new one for every word: a mean of all that was read, weighted by
# what is needed now (Bahdanau et al. 2015,
# [arXiv:1409.0473](https://arxiv.org/abs/1409.0473)).

# %% [markdown]
# ## Words that differ
#
# Three rows of this table mean something else in your course or in PyTorch.
#
# | meaning | here | elsewhere |
# |---|---|---|
# | before the softmax | scores | energies, e |
# | after the softmax | **weights** | alpha, a; Keras: `attention_scores` |
# | how many queries, how many keys | T, S | CS231n: **S, T**; PyTorch: L, S |
# | `mask` | **True = may be read** | EECS 498: **True = hidden**; CS231n: 0 = hidden |
#
# So `return_attention_scores=True`, Keras's own name, returns the weights. PyTorch has
# it both ways: in `scaled_dot_product_attention` True = may be read, in
# `nn.MultiheadAttention` True = hidden.

# %%
import os
import random

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.layers import AdditiveAttention
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import TokenCrossentropy

STEPS = int(os.environ.get("STEPS", 900))  # of training, 64 sentences each

keras.utils.set_random_seed(0)

# %% [markdown]
# ## The problem: a toy whose answer is known
#
# A scrap of French and of English. Each word has one translation; what changes is the
# order. French puts adjectives after the noun, English puts them before it, the last
# one first. So we know which French word each English word comes from. No model is
# told.

# %%
KINDS = {
    "noun": "marché/market plan/plan projet/project budget/budget conseil/council",
    "topic": "économique/economic agricole/agricultural social/social fiscal/fiscal",
    "origin": "européen/European français/French italien/Italian espagnol/Spanish",
    "state": "commun/common récent/recent annuel/annual provisoire/provisional",
    "link": "et/and finance/funds remplace/replaces soutient/supports",
}
WORDS = {kind: words.split() for kind, words in KINDS.items()}


def make_sentence(num_phrases):
    """A French sentence, the English one, and where each English word comes from."""
    pairs, places = [], []
    for i in range(num_phrases):
        if i > 0:
            places.append(len(pairs))
            pairs.append(random.choice(WORDS["link"]))
        adjectives = [k for k in ("topic", "origin", "state") if random.random() < 0.6]
        phrase = ["le/the"] + [random.choice(WORDS[k]) for k in ["noun", *adjectives]]
        start, stop = len(pairs), len(pairs) + len(phrase)
        places += [start, *range(stop - 1, start, -1)]
        pairs += phrase
    french, english = zip(*(pair.split("/") for pair in pairs), strict=True)
    return " ".join(french), " ".join(english[place] for place in places), places


for text in make_sentence(num_phrases=2):
    print(text)

# %% [markdown]
# ## The equation
#
# A **query** q, here the state of the decoder, asks. Each word that was read offers a
# **key** k, by which it is found, and a **value** v, which is then read. A small
# network with the matrices $W_q$, $W_k$ and the vector $u$ scores how well they match:
#
# $$\text{scores}_{ts} = u \cdot \tanh(W_q q_t + W_k k_s) \qquad
# \text{weights}_{t} = \text{softmax}(\text{scores}_{t}) \qquad
# \text{context}_t = \sum_s \text{weights}_{ts} \, v_s$$
#
# The weights of a query lie between 0 and 1 and sum to 1. In translation keys and
# values are the same: what the encoder made of each word.
#
# In NumPy that is eight lines. B is the number of sentences, T of queries, S of keys,
# U the width of the small network, and Dq, Dk, Dv are the widths of the three.


# %%
def additive_attention(query, key, value, W_q, W_k, u, mask=True):
    queries = (query @ W_q)[:, :, None]  # (B, T, 1, U)
    keys = (key @ W_k)[:, None]  # (B, 1, S, U)
    scores = np.tanh(queries + keys) @ u  # (B, T, S)
    scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = weights / weights.sum(axis=-1, keepdims=True)  # (B, T, S)
    return weights @ value, weights  # (B, T, Dv), (B, T, S)


# %% [markdown]
# A case to check by hand, with all widths 1. The query is 0, the keys are 0 and 100, so
# the two tanh are 0 and 1. With u = ln 3 the scores are 0 and ln 3, and the weights
# 1/4 and 3/4. The values 0 and 8 then give 6.

# %%
one = np.ones((1, 1))
context, weights = additive_attention(
    query=np.array([[[0.0]]]),
    key=np.array([[[0.0], [100.0]]]),
    value=np.array([[[0.0], [8.0]]]),
    W_q=one,
    W_k=one,
    u=np.log([3.0]),
)
print("weights", weights.round(6), "context", context.round(6))

# %% [markdown]
# ## The same through the library
#
# All sizes differ, so that no axis can stand in for another. The layer gets our three
# matrices as its weights.

# %%
rng = np.random.default_rng(0)
B, T, S, U, Dq, Dk, Dv = 2, 3, 5, 7, 4, 6, 8
query = rng.normal(size=(B, T, Dq)).astype("float32")
key = rng.normal(size=(B, S, Dk)).astype("float32")
value = rng.normal(size=(B, S, Dv)).astype("float32")
W_q = rng.normal(size=(Dq, U)).astype("float32")
W_k = rng.normal(size=(Dk, U)).astype("float32")
u = rng.normal(size=U).astype("float32")

layer = AdditiveAttention(units=U)
layer(query=query, value=value, key=key)  # the first call makes the weights
layer.set_weights([W_q, W_k, u[:, None]])
result = layer(query=query, value=value, key=key, return_attention_scores=True)
context, weights = (ops.convert_to_numpy(tensor) for tensor in result)
np.testing.assert_equal(context.shape, (B, T, Dv))
np.testing.assert_equal(weights.shape, (B, T, S))

by_hand, weights_by_hand = additive_attention(query, key, value, W_q, W_k, u)
np.testing.assert_allclose(context, by_hand, atol=1e-6)
np.testing.assert_allclose(weights, weights_by_hand, atol=1e-6)
print("largest difference", f"{np.abs(context - by_hand).max():.0e}")
print("each row sums to", weights.sum(axis=-1).round(6).min())

# %% [markdown]
# ## What is read is a set
#
# Nothing in the equation says in which order the keys come. Put them into another
# order, and the weights move along with them; the context stays what it was.

# %%
order = np.array([3, 0, 4, 1, 2])
shuffled, moved = additive_attention(query, key[:, order], value[:, order], W_q, W_k, u)
print("weights moved along:", np.allclose(moved, weights_by_hand[:, :, order]))
print("context unchanged:  ", np.allclose(shuffled, by_hand, atol=1e-6))

# %% [markdown]
# So the words may as well be the cells of a picture, which have no first and no last:
# that is Show, Attend and Tell. Where order matters, the keys must tell it. Here
# the encoder, which reads the words one after the other, leaves it in them.

# %% [markdown]
# ## The mask
#
# Sentences of a batch are filled up to one length. The mask says which keys are words:
# **True = may be read**. Say that sentence 0 has 3 words and sentence 1 has 5.

# %%
is_word = np.array([[True, True, True, False, False], [True, True, True, True, True]])
context, weights = layer(
    query=query, value=value, key=key, mask=is_word, return_attention_scores=True
)
context, weights = ops.convert_to_numpy(context), ops.convert_to_numpy(weights)
print(weights[0].round(3))

alone = layer(query=query[:1], value=value[:1, :3], key=key[:1, :3])  # no padding
print(
    "as if alone:", np.allclose(context[0], ops.convert_to_numpy(alone)[0], atol=1e-6)
)

unmasked = ops.convert_to_numpy(layer(query=query, value=value, key=key))
print("padding changes it by", f"{np.abs(unmasked[0] - context[0]).max():.2f}")

# %% [markdown]
# The padding gets the weight 0, and the sentence is read as if it stood alone. Without
# the mask, what happens to stand in the padding is mixed into each context.

# %% [markdown]
# ## A translator
#
# `Vocabulary` turns sentences into numbers, from `[start]` to `[end]`, then padding, 0.
# The decoder is trained to say each word when it is given the ones before it.

# %%
EPOCHS, BATCH = 3, 64
COUNT = STEPS * BATCH // EPOCHS
sentences = [make_sentence(random.choice([1, 2, 3])) for _ in range(COUNT)]
french_words = Vocabulary.from_captions([french for french, _, _ in sentences])
english_words = Vocabulary.from_captions([english for _, english, _ in sentences])
LENGTH = 19  # three phrases of five words, two links, [start] and [end]


def encode(sentences):
    """Sentences as numbers: read, written before, to be written next."""
    source = french_words.encode([french for french, _, _ in sentences], LENGTH)
    target = english_words.encode([english for _, english, _ in sentences], LENGTH)
    return source, target[:, :-1], target[:, 1:]


training = encode(sentences)
print(*(token_ids.shape for token_ids in training))

# %% [markdown]
# The decoder goes on by one word at a time. The query is its state before the word. The
# context enters its next state, and so does the word before:
#
# $$\text{context}_t = \text{attention}(\text{query} = s_{t-1}) \qquad
# s_t = \text{GRU}([y_{t-1}, \text{context}_t], s_{t-1})$$
#
# With `use_attention=False` the context is the encoder's last state, each time the
# same. That is the decoder of before.


# %%
class Decoder(keras.layers.Layer):
    def __init__(self, vocabulary_size, units, use_attention):
        super().__init__()
        self.cell = keras.layers.GRUCell(units)
        self.attention = AdditiveAttention(units) if use_attention else None
        self.word_output = keras.layers.Dense(vocabulary_size)

    def call(self, words, read, mask, last):
        def step(before, word):
            state, context, weights = before
            if self.attention is not None:
                context, weights = self.attention(
                    query=state[:, None],  # (B, 1, units): T is 1
                    value=read,  # (B, S, units)
                    mask=mask,  # (B, S)
                    return_attention_scores=True,
                )
                context, weights = context[:, 0], weights[:, 0]
            state, _ = self.cell(ops.concatenate([word, context], axis=-1), [state])
            return (state, context, weights), (state, context, weights)

        # Step by step along T, which must come first.
        start = last, last, ops.zeros_like(read[:, :, 0])
        _, results = ops.scan(step, start, ops.moveaxis(words, 1, 0))
        states, contexts, weights = (ops.moveaxis(r, 0, 1) for r in results)
        logits = self.word_output(ops.concatenate([states, contexts], axis=-1))
        return logits, weights  # (B, T, V), (B, T, S)


# %% [markdown]
# The encoder reads in both directions, so what it makes of a word knows the words
# before and after. The model gives the logits of the next words, (B, T, V); a second
# model of the same layers gives the weights, (B, T, S).


# %%
def build_translator(use_attention, units=64):
    source = keras.Input((LENGTH,), dtype="int32")
    previous = keras.Input((LENGTH - 1,), dtype="int32")
    mask = ops.not_equal(source, 0)
    words = keras.layers.Embedding(len(french_words), 16)(source)
    gru = keras.layers.GRU(units // 2, return_sequences=True, return_state=True)
    read, forward, backward = keras.layers.Bidirectional(gru)(words, mask=mask)
    last = ops.concatenate([forward, backward], axis=-1)  # (B, units)
    words = keras.layers.Embedding(len(english_words), 16)(previous)
    decoder = Decoder(len(english_words), units, use_attention)
    logits, weights = decoder(words, read, mask, last)
    inputs = [source, previous]
    return keras.Model(inputs, logits), keras.Model(inputs, weights)


# %% [markdown]
# The loss says how likely the right words were; padding does not count. It knows
# nothing of the weights: nobody tells the model where to look. All steps of the
# attention are smooth, so the gradient goes through them and teaches that too.


# %%
def train(model):
    rate = keras.optimizers.schedules.CosineDecay(0.005, decay_steps=STEPS)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), TokenCrossentropy())
    *inputs, following = training
    model.fit(inputs, following, batch_size=BATCH, epochs=EPOCHS, verbose=2)


translator, aligner = build_translator(use_attention=True)
train(translator)

# %% [markdown]
# ## See the attention
#
# A row for each English word that is written, a column for each French word that was
# read, dark where the weight is large. A circle marks the word that it translates.

# %%
random.seed(1)
TESTS = min(512, 16 * STEPS)  # sentences of each number of phrases
test = [make_sentence(n) for n in (1, 2, 3) for _ in range(TESTS)]
lengths = np.array([len(places) for _, _, places in test])
source, previous, following = encode(test)
weights = aligner.predict([source, previous], verbose=0)  # (B, T, S)
print(weights.shape)

longest = lengths.argmax()
french, english, places = test[longest]
columns, rows = french.split(), english.split()
figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
shown = weights[longest, : len(rows), 1 : len(columns) + 1]  # column 0 is [start]
axes.imshow(shown, cmap="Greys", vmin=0, vmax=1)
axes.scatter(places, range(len(rows)), s=90, facecolors="none", edgecolors="tab:red")
axes.set_xticks(range(len(columns)), columns, rotation=90)
axes.set_yticks(range(len(rows)), rows)
axes.xaxis.tick_top()

# %% [markdown]
# The picture of Bahdanau's Figure 3: from the upper left to the lower right as long as
# the words come in the same order, and backwards where the order turns, noun phrase by
# noun phrase. Only "the" looks elsewhere.
#
# Is it so in all sentences? We count how often the largest weight is in the circle,
# for each kind of word. Then, for "the", how often it is at the end of its phrase,
# where the next word comes from, or one word further.

# %%
kind_of = {pair.split("/")[1]: kind for kind in WORDS for pair in WORDS[kind]}
hits = {"the": [], **{kind: [] for kind in WORDS}}
ahead = []
for (_, english, places), rows in zip(test, weights, strict=True):
    for t, word in enumerate(english.split()):
        place = rows[t].argmax() - 1  # place 0 is [start]
        hits[kind_of.get(word, word)].append(place == places[t])
        if word == "the":
            ahead.append(place - places[t + 1] in (0, 1))
for kind, found in hits.items():
    print(f"{kind:7} in the circle       {np.mean(found):6.1%}")
print(f"the     where its phrase ends {np.mean(ahead):5.1%}")

# %% [markdown]
# The words that must be looked up are found, nearly each time. For "the" nothing must
# be looked up: every phrase begins with it. The decoder uses that step to look ahead,
# since the end of the French phrase is where the English one goes on. The weights show
# what the model reads, which is not always the word that we would draw a line to.

# %% [markdown]
# ## What goes wrong without it
#
# The same decoder, trained in the same way on the same sentences, with the encoder's
# last state in place of the context. It is smaller by the attention's matrices and no
# more: both have 64 numbers for a state.

# %%
squeezed, _ = build_translator(use_attention=False)
train(squeezed)

# %% [markdown]
# We count the sentences without a mistake. Each word is predicted from the right ones
# before it. A sentence in which all of these are right is also the one the model writes
# on its own, taking the likeliest word each time, since it never meets a wrong one.

# %%
models = {"new context": translator, "one vector": squeezed}
predicted, right = {}, {}
for name, model in models.items():
    predicted[name] = model.predict([source, previous], verbose=0).argmax(axis=-1)
    is_right = (predicted[name] == following) | (following == 0)  # (B, T)
    right[name] = is_right.all(axis=1)

print("without a mistake ", *models, sep="  ")
for n in (1, 2, 3):
    rates = [right[name][(n - 1) * TESTS : n * TESTS].mean() for name in models]
    print(f"noun phrases: {n}   ", *(f"{rate:11.1%}" for rate in rates))

print("\nto say      ", test[-1][1].lower())
for name in models:
    ids = np.where(following[-1:] == 0, 0, predicted[name][-1:])
    print(f"{name:12}", *english_words.decode(ids))

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for name, style in zip(models, ("o-", "s--"), strict=True):
    rates = {n: right[name][lengths == n].mean() for n in np.unique(lengths)}
    axes.plot(rates.keys(), rates.values(), style, label=name)
axes.set_xlabel("words in the sentence")
axes.set_ylabel("sentences without a mistake")
axes.set_ylim(-0.05, 1.05)
_ = axes.legend()

# %% [markdown]
# Both know short sentences. As the sentences grow, the one vector fails: words that it
# lost are replaced by others that could stand there. It has learned how English goes,
# and forgets what was said. With attention nothing must be kept: the decoder only has
# to find the next word.

# %% [markdown]
# ## Exercises
#
# 1. Leave out the mask of the attention in `Decoder`. Which words suffer?
# 2. Let the encoder read in one direction only. What does the picture look like now?
# 3. Translate sentences of four phrases, which neither model has seen (`LENGTH = 25`).
# 4. Let `value` be the embeddings of the French words, and `key` what the encoder made
#    of them. Does it still translate? What stands in the context now?
# 5. Give the model without attention four times the units. How far does it get?
# 6. The keys are multiplied by $W_k$ again at each step. Let `layer.project_keys` do it
#    once, and pass the result as `projected_key`. Is it faster?
#
# ## Where it is in the library
#
# - `keras_attention.layers.AdditiveAttention` is the layer.
# - `keras_attention.ops.attend` is the one function behind all attention layers.
# - `keras_attention.applications.ShowAttendTell` reads a picture in the same way:
#   [each word looks at another part](02_captions_with_and_without_attention.ipynb).

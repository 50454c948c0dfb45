# %% [markdown]
# # What transfers
#
# Command: `python tutorials/15_what_transfers.py`, about five minutes on two CPU
# cores.
# Expected: after reading 16,000 sentences without labels, a BERT judges 93 to 97 % of
# new sentences right from 16 labels; the same model from scratch 74 % from 1,024; and a
# picture of why.
#
# A network is trained twice: first on much text that costs nothing, then on the few
# examples that somebody labelled. So learned ImageNet's classifiers to find and to
# describe, and so learn language models (Howard and Ruder 2018,
# [arXiv:1801.06146](https://arxiv.org/abs/1801.06146); Radford et al. 2018; Devlin et
# al. 2019, [arXiv:1810.04805](https://arxiv.org/abs/1810.04805), Section 3). What is
# it that the second training finds ready?

# %% [markdown]
# ## Words that differ
#
# As in [BERT's two tasks](06_berts_two_tasks.ipynb). New are those of two trainings.
#
# | meaning | here | elsewhere |
# |---|---|---|
# | first training, without labels | pretraining | self-supervised learning |
# | second training, of all weights | fine-tuning | full fine-tuning |
# | of a new last layer alone | linear probe | frozen features |
# | of small matrices beside the weights | LoRA | adapters, PEFT |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import pathlib
import tempfile

import keras
import matplotlib.pyplot as plt
import numpy as np

from keras_attention.applications import BERT
from keras_attention.data import FollowEpochs
from keras_attention.data import MaskedLanguageModelDataset
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from keras_attention.training import add_lora
from keras_attention.training import TokenCrossentropy

STEPS = int(os.environ.get("STEPS", 2000))  # of the pretraining, 64 sentences each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The problem: 200 words, few labels
#
# People write about restaurants, in a language with 100 words of praise and 100 of
# blame. None of them is known to us, and a word tells nothing by its letters:
#
#     the soup was rabo and we came back soon
#     the bread was not rabo and we never returned
#
# We want to know of "the soup was rabo" whether they liked it. Much text says what
# people did next. Few sentences have a label. With "not", which half of them have, the
# same word means the other thing.

# %%
SYLLABLES = [c + v for c in "bdfgklmnprst" for v in "aeiou"]
MADE_UP = [a + b for a in SYLLABLES for b in SYLLABLES]
WORDS = [str(word) for word in rng.choice(MADE_UP, 200, replace=False)]
PRAISE, BLAME = WORDS[:100], WORDS[100:]
DISHES = "soup bread fish salad cake rice tea stew".split()
AFTER = {
    True: ["we came back soon", "we told our friends", "we stayed till late"],
    False: ["we never returned", "we asked for money", "we left at once"],
}


def sentences(count):
    """Sentences, what came after each, and whether they liked it (1)."""
    firsts, seconds, labels = [], [], []
    for word in rng.choice(WORDS, count):
        negated = rng.random() < 0.5
        liked = (word in PRAISE) != negated
        dish = rng.choice(DISHES)
        firsts.append(f"the {dish} was {'not ' if negated else ''}{word}")
        seconds.append(rng.choice(AFTER[liked]))
        labels.append(int(liked))
    return firsts, seconds, np.array(labels)


firsts, seconds, _ = sentences(max(8 * STEPS, 64))
texts = [f"{a} and {b}" for a, b in zip(firsts, seconds, strict=True)]
test, _, test_labels = sentences(2000)
print(*texts[:4], sep="\n")

# %% [markdown]
# ## Pretraining: what is hidden?
#
# `BERT` fills in hidden words, as in [its own tutorial](06_berts_two_tasks.ipynb). No
# label is seen.

# %%
known = sorted({word for text in texts for word in text.split()} | {*WORDS})
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
tokenizer = word_piece_tokenizer([*special, *known])
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "texts.txt").write_text("\n\n".join(texts))
dataset = MaskedLanguageModelDataset(
    folder / "texts.txt", tokenizer, max_length=14, batch_size=64, cache=folder
)


def build(**options):
    """Two blocks of width 64."""
    return BERT(
        tokenizer=tokenizer,
        vocabulary_size=len(tokenizer),
        max_length=14,
        hidden_dim=64,
        num_layers=2,
        num_heads=2,
        mlp_dim=128,
        dropout=0.0,
        attention_dropout=0.0,
        **options,
    )


def vectors_of_words(model):
    """A row of the table of tokens for each word."""
    ids = [row[1] for row in tokenizer.encode(WORDS)]  # behind [CLS]
    return keras.ops.convert_to_numpy(model.embedding.token_embedding.embeddings)[ids]


model = build(head="masked_language_model")
vectors = {"drawn": vectors_of_words(model)}
rate = keras.optimizers.schedules.CosineDecay(
    0.0, STEPS, warmup_target=0.002, warmup_steps=STEPS // 10
)
model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), TokenCrossentropy())
history = model.fit(
    dataset, epochs=8, shuffle=False, callbacks=[FollowEpochs(dataset)], verbose=0
)
print("loss", *(f"{loss:.2f}" for loss in history.history["loss"]))
vectors["pretrained"] = vectors_of_words(model)
model.save_to_preset(folder / "pretrained")

# %% [markdown]
# ## What was learned without a label
#
# The rows of the table of tokens, 200 words of 64 numbers, on their two main axes, as
# they were drawn and as they were after reading:

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
for axis, (name, table) in zip(axes, vectors.items(), strict=True):
    table = table - table.mean(axis=0)
    _, values, directions = np.linalg.svd(table, full_matrices=False)
    x, y = (table @ directions[:2].T).T
    for words, marker in ((slice(0, 100), "o"), (slice(100, 200), "^")):
        label = "praise" if marker == "o" else "blame"
        axis.scatter(x[words], y[words], s=12, marker=marker, label=label)
    share = values[0] ** 2 / (values**2).sum()
    axis.set_title(f"{name}: {share:.0%} on the first axis", fontsize="medium")
    axis.set_xticks([])
    axis.set_yticks([])
_ = axes[0].legend()

# %% [markdown]
# Words that stand in the same company have come to lie together (Firth 1957), though
# nobody said which of them praise. A label now tells where a whole cloud belongs, and
# no longer a word.
#
# ## The second training
#
# Four ways to learn from n labels, each 300 steps of 32 sentences:
#
# - **from scratch**: the same model with drawn weights;
# - **linear probe**: pretrained, and only a new last layer is trained;
# - **LoRA**: matrices of rank 2 beside the projections of attention and feed-forward
#   networks are trained, and the new layers (Hu et al. 2022,
#   [arXiv:2106.09685](https://arxiv.org/abs/2106.09685));
# - **fine-tuning**: all weights are trained.


# %%
def from_scratch():
    return build(head="classification")


def fine_tuning():
    return BERT.from_preset(folder / "pretrained", head="classification")


def linear_probe():
    model = fine_tuning()
    model.embedding.trainable = model.encoder.trainable = False
    return model


def lora():
    model = fine_tuning()
    add_lora(model, rank=2, targets=("query", "value", "output", "mlp"))
    return model


WAYS = [from_scratch, linear_probe, lora, fine_tuning]
COUNTS = [16, 64, 256, 1024]
SECOND_STEPS = min(STEPS, 300)
SEEDS = range(2) if STEPS > 10 else range(1)


def learn(way, count, seed):
    """Learns from `count` labels; the share of new sentences that it judges right."""
    keras.utils.set_random_seed(seed)
    model = way()
    rate = keras.optimizers.schedules.CosineDecay(0.003, SECOND_STEPS)
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    texts, _, labels = labelled[seed]
    chosen = np.random.default_rng(seed).integers(0, count, SECOND_STEPS * 32)
    inputs = tokenizer([texts[i] for i in chosen], padded_length=14)
    model.fit(inputs, labels[chosen], batch_size=32, epochs=1, shuffle=False, verbose=0)
    answers = model.predict(test_inputs, batch_size=500, verbose=0).argmax(axis=-1)
    return np.mean(answers == test_labels)


labelled = {seed: sentences(max(COUNTS)) for seed in SEEDS}
test_inputs = tokenizer(test, padded_length=14)
shares = {}
print(f"{'labels':14}", *(f"{count:>7,}" for count in COUNTS))
for way in WAYS:
    name = way.__name__.replace("_", " ")
    shares[name] = [[learn(way, count, seed) for seed in SEEDS] for count in COUNTS]
    print(f"{name:14}", *(f"{np.mean(row):7.1%}" for row in shares[name]))

# %%
figure, axis = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
styles = ("k:o", "C0--s", "C1-.^", "C2-D")
for (name, rows), style in zip(shares.items(), styles, strict=True):
    axis.plot(COUNTS, np.mean(rows, axis=1), style, label=name)
    lowest, highest = np.min(rows, axis=1), np.max(rows, axis=1)
    axis.fill_between(COUNTS, lowest, highest, color=style[:2].strip(":"), alpha=0.15)
axis.axhline(0.5, color="gray", linewidth=0.8)
axis.set_xscale("log", base=2)
axis.set_xticks(COUNTS, [f"{count:,}" for count in COUNTS])
axis.set_xlabel("labels")
axis.set_ylabel("judged right")
_ = axis.legend()

# %% [markdown]
# From scratch, a word whose label was not seen is unknown, and in two of three new
# sentences it is, as long as there are only a few labels. What was pretrained knows
# which words belong together, and has to learn two things: which cloud is which, and
# that "not" exchanges them.
#
# The linear probe reads what pretraining left at `[CLS]`. Nobody asked anything of that
# place before, so there is little to read: what a frozen network shows depends on where
# one looks. LoRA and fine-tuning bend the network to the question. With few labels LoRA
# is ahead: what cannot move cannot learn 16 sentences by heart either.
#
# ## What was forgotten?
#
# After fine-tuning, are the words still where they were? The share of the distance
# between two words that has changed, on the average:

# %%
keras.utils.set_random_seed(0)
tuned = fine_tuning()
tuned.compile(
    keras.optimizers.Adam(0.003),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
texts, _, labels = labelled[0]
tuned.fit(
    tokenizer(texts[:64], padded_length=14),
    labels[:64],
    batch_size=32,
    epochs=SECOND_STEPS // 2,
    verbose=0,
)


def distances(table):
    """Between each two rows."""
    return np.linalg.norm(table[:, None] - table[None], axis=-1)


before = distances(vectors["pretrained"])
change = np.abs(distances(vectors_of_words(tuned)) - before).sum() / before.sum()
print(f"{change:.1%}")

# %% [markdown]
# ## Exercises
#
# 1. Pretrain on an eighth of the texts, for the same steps. What do more texts give,
#    and what more steps?
# 2. Let what came after not depend on what they thought. Is anything transferred?
# 3. Write praise and blame of films in other words, pretrain on restaurants, and
#    fine-tune on films. Which of the two things is still there?
# 4. Let the linear probe read the mean of all tokens, or the vector of the last word
#    (`head=None` gives `tokens`). Where does it read most?
# 5. Pretrain a `GPT2` on the same texts, and compare (Radford et al. 2018).
#
# ## Where it is in the library
#
# - `keras_attention.data.MaskedLanguageModelDataset`, and `from_preset(...,
#   head="classification")` for the new layers.
# - `keras_attention.training.add_lora`; `keras_attention.training.LayerDecay` trains
#   the first blocks more slowly than the last.
# - [bert_on_brown.py](bert_on_brown.py) does the same with real text, and
#   [six_ways_to_read_brown.py](six_ways_to_read_brown.py) compares six ways to
#   pretrain.

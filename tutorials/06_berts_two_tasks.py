# %% [markdown]
# # BERT's two tasks
#
# Command: `python tutorials/06_berts_two_tasks.py`, about two minutes on two CPU cores.
# Expected: BERT fills in all of 1,000 hidden verbs, the same model under a causal mask
# half of them; then 256 labelled sentences are enough for 97 % right answers to a third
# question, and for 83 % from scratch.
#
# BERT reads a text in both directions (Devlin et al. 2019,
# [arXiv:1810.04805](https://arxiv.org/abs/1810.04805)). It learns from texts without
# labels, by two tasks that make their own: which words were hidden, and whether a
# sentence follows another. Then few labels are enough for a third. Here is the whole
# way, with a language so small that the right answer is always known.

# %% [markdown]
# ## Words that differ
#
# As in [the first tutorial](01_additive_attention.ipynb). New are those of BERT.
#
# | meaning | here | elsewhere |
# |---|---|---|
# | hide words, and tell them | masked language model | MLM, cloze |
# | which words are hidden | weights of the loss, 1 and 0 | labels of -100 elsewhere |
# | who may be read | `padding_mask`, **True = may be read** | attention_mask |
# | first or second text | `segment_ids` | token_type_ids |
# | part of a word | piece, `##` within a word | WordPiece, subword |

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import pathlib
import tempfile

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from keras_attention.applications import BERT
from keras_attention.data import FollowEpochs
from keras_attention.data import mask_tokens
from keras_attention.data import MaskedLanguageModelDataset
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import attention_maps
from keras_attention.visualization import show_heads

STEPS = int(os.environ.get("STEPS", 1600))  # of each pretraining, 64 pairs each

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The problem: a language that is read from both sides
#
# Each text is two sentences. An animal makes its sound, and wants its food: "the dog
# behind the cat barked loudly yesterday", "it wanted a bone". Which animal, what stands
# between and when is drawn evenly.
#
# Hide the verb of the first sentence. **Which sound** it was follows from the animal,
# which is to the left, and **which ending** from the time, which is to the right. Who
# reads only what is to the left has to guess the ending: half of the guesses are wrong,
# and no model can do better.

# %%
ANIMALS = "dog cat cow duck pig owl".split()
SOUNDS = "bark meow moo quack grunt hoot".split()
FOODS = "bone fish flower snail carrot mouse".split()
TIMES = {"today": "s", "yesterday": "ed"}


def first_sentence(animal, time, sound=None, ending=None):
    """A sentence; with another sound or ending a wrong one."""
    other = rng.choice([name for name in ANIMALS if name != ANIMALS[animal]])
    middle = rng.choice(["", f" behind the {other}", f" beside the {other}"])
    sound = SOUNDS[animal if sound is None else sound]
    verb = sound + (ending or TIMES[time])
    return f"the {ANIMALS[animal]}{middle} {verb}{rng.choice(['', ' loudly'])} {time}"


def text():
    """Two sentences."""
    animal, time = rng.integers(6), rng.choice(list(TIMES))
    second = f"it want{TIMES[time]} a {FOODS[animal]}"
    return first_sentence(animal, time), second


texts = [text() for _ in range(max(STEPS // 8, 1) * 64)]
firsts, seconds = map(list, zip(*(text() for _ in range(1000)), strict=True))
for first, second in texts[:3]:
    print(f"{first}. {second}.")

# %% [markdown]
# ## What goes in
#
# The tokenizer cuts words into pieces: a verb is its sound and its ending. BERT adds
# `[CLS]` before all, whose output is to stand for the whole text, and `[SEP]` behind
# each of the two sentences. The first column below is the **segment**, 0 or 1.

# %%
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
small = "the behind beside loudly it want a ##s ##ed".split()
tokenizer = word_piece_tokenizer([*special, *small, *ANIMALS, *SOUNDS, *FOODS, *TIMES])
LENGTH = 17  # of the longest pair, special tokens included


def encode(firsts, seconds=None):
    return tokenizer(firsts, seconds, padded_length=LENGTH)


inputs = encode(firsts, seconds)
shown = next(i for i, first in enumerate(firsts) if len(first.split()) == 7)
tokens = tokenizer.tokens(inputs["token_ids"])
for token, segment in zip(tokens[shown], inputs["segment_ids"][shown], strict=True):
    print(f"{segment}  {token}")

# %% [markdown]
# What the blocks get is a sum of three rows, each of a learned table, and its norm:
#
# $$x_t = \text{norm}(\text{token}[i_t] + \text{position}[t] + \text{segment}[s_t])$$
#
# with the token ids $i$ and the segments $s$.
#
# ## The equation
#
# A set M of places is chosen, 15 % of all. The loss is minus the logarithm of what
# stood there, given the text $\tilde{x}$ in which it is hidden:
#
# $$\text{loss} = -\frac{1}{|M|} \sum_{t \in M} \log p(x_t \mid \tilde{x}_1 \dots
# \tilde{x}_T)$$
#
# Compare [GPT's](07_a_small_gpt_speaks.ipynb): there each place is asked for, but given
# only those before it. Here all may be read, which is why only few can be asked for.
#
# Of the chosen, 80 % become `[MASK]`, 10 % another token and 10 % **stay as they are**.
# Were it always `[MASK]`, the model would never be asked about a word that it sees, and
# need not make anything of it at its place. And later, in the texts that it is to
# classify, no `[MASK]` stands at all. As it is, any token may be a wrong one, and has
# to be held against its neighbours. In NumPy:


# %%
def hide(token_ids, rate=0.15):
    """Hides tokens (B, T); also returns which are chosen."""
    is_free = token_ids >= len(special)
    chosen = is_free & (rng.random(token_ids.shape) < rate)
    draw = rng.random(token_ids.shape)
    others = rng.integers(len(special), len(tokenizer), token_ids.shape)
    hidden = np.where(draw < 0.8, tokenizer.mask_id, token_ids)
    hidden = np.where((draw >= 0.8) & (draw < 0.9), others, hidden)
    return np.where(chosen, hidden, token_ids), chosen


rows = inputs["token_ids"]
by_hand = hide(rows)
same = mask_tokens(rows, tokenizer.mask_id, len(tokenizer), tokenizer.special_ids)
for name, (hidden, chosen) in {"by hand": by_hand, "library": same[::2]}.items():
    chosen = chosen > 0
    np.testing.assert_equal(hidden.shape, rows.shape)
    kinds = {
        "chosen": chosen.sum() / (rows >= len(special)).sum(),
        "[MASK]": (hidden == tokenizer.mask_id)[chosen].mean(),
        "another": ((hidden != rows) & (hidden != tokenizer.mask_id))[chosen].mean(),
        "as it was": (hidden == rows)[chosen].mean(),
    }
    print(name, *(f"{kind} {share:.1%} " for kind, share in kinds.items()), sep="  ")

# %% [markdown]
# The library chooses a fixed number of each text, rounded. One sentence, hidden six
# times; what was chosen stands in parentheses:

# %%
few = np.repeat(rows[shown][None], 6, axis=0)
for whole_words in (False, True):
    begins = [[not token.startswith("##") for token in tokens[shown]]] * 6
    hidden, _, chosen = mask_tokens(
        few,
        tokenizer.mask_id,
        len(tokenizer),
        tokenizer.special_ids,
        words=np.cumsum(begins, axis=1) if whole_words else None,
        seed=4,
    )
    print("whole words" if whole_words else "pieces")
    for row, is_chosen in zip(tokenizer.tokens(hidden), chosen, strict=True):
        marked = zip(row, is_chosen, strict=True)
        print(" ", *(f"({token})" if mark else token for token, mark in marked))

# %% [markdown]
# **Whole words**: where a piece is hidden alone, the rest of its word tells much about
# it, here that it is a verb, in real languages often all of it, and the sentence need
# not be read. So all pieces of a word are hidden or none (BERT's authors added that
# later). We do so.
#
# The second task is to tell whether the second sentence follows the first. In half of
# the pairs it does, in the other half it is from another text. Of ours we know what is
# possible: by chance 1 of 12 others has the same animal and the same time, and nobody
# can tell it, so the best is 1 - 1/24 = 95.8 %. Who sees only that the endings differ
# reaches 75 %.

# %%
folder = pathlib.Path(tempfile.mkdtemp())
path = folder / "texts.txt"
path.write_text("\n\n".join(f"{first}\n{second}" for first, second in texts))
dataset = MaskedLanguageModelDataset(
    path,
    tokenizer,
    max_length=LENGTH,
    batch_size=64,
    next_sentence=True,
    whole_word=True,
    cache=folder,
)
x, labels, weights = dataset[0]
for i in range(3):
    follows = "does not follow" if labels["next_sentence"][i] else "follows"
    print(*tokenizer.tokens(x["token_ids"])[i], f" {follows}")

# %% [markdown]
# ## The model
#
# `BERT` with two blocks and both heads. It is small enough to do without dropout.


# %%
def build(head):
    return BERT(
        tokenizer=tokenizer,
        vocabulary_size=len(tokenizer),
        max_length=LENGTH,
        hidden_dim=64,
        num_layers=2,
        num_heads=2,
        mlp_dim=128,
        dropout=0.0,
        attention_dropout=0.0,
        head=head,
    )


def pretrain(model):
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, STEPS, warmup_target=0.002, warmup_steps=STEPS // 10
    )
    losses = {
        "masked_language_model": TokenCrossentropy(),
        "next_sentence": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), losses)
    history = model.fit(
        dataset,
        epochs=8,  # in each, other words are hidden and other pairs are drawn
        shuffle=False,
        callbacks=[FollowEpochs(dataset)],
        verbose=0,
    )
    print("loss", *(f"{loss:.2f}" for loss in history.history["loss"]))
    return history.history["loss"]


model = build("pretraining")
print(f"parameters {model.count_params():,}")
losses = {"BERT": pretrain(model)}

# %% [markdown]
# ## Can it fill in what is hidden?
#
# We hide one word of each of 1,000 new texts, and take the most probable animal, sound,
# ending or time. Beside it stands the same model **under a causal mask**, so that each
# place reads itself and what is to its left. It has the same layers, and learns from
# the same batches.


# %%
def read_leftwards():
    """BERT's own layers, called once more, with a causal mask."""
    bert = build("pretraining")
    layer, inputs = bert.get_layer, bert.input
    x = bert.embedding(inputs["token_ids"], inputs["segment_ids"])
    x = bert.encoder(x, mask=inputs["padding_mask"], use_causal_mask=True)
    y = keras.activations.gelu(layer("masked_language_model_dense")(x))
    y = layer("masked_language_model_norm")(y)
    y = bert.embedding.token_embedding(y, reverse=True)
    pooled = keras.ops.tanh(layer("pooler")(x[:, 0]))
    return keras.Model(
        inputs,
        {
            "masked_language_model": layer("masked_language_model_bias")(y),
            "next_sentence": layer("next_sentence_head")(pooled),
        },
    )


leftwards = read_leftwards()
losses["causal"] = pretrain(leftwards)
figure, axes = plt.subplots(figsize=(5.5, 3), layout="constrained")
for (name, values), style in zip(losses.items(), ("o-", "s--"), strict=True):
    axes.plot(range(1, 9), values, style, label=name)
axes.set_xlabel("epoch")
axes.set_ylabel("loss of both tasks")
axes.set_ylim(bottom=0)
_ = axes.legend()


# %%
IDS = {token: i for i, token in enumerate(tokenizer.tokens([range(len(tokenizer))])[0])}


def ids_of(tokens):
    return [IDS[token] for token in tokens]


def places_of(words):
    """Where the first of some words stands, (B,)."""
    return np.isin(rows, ids_of(words)).argmax(axis=1)


def fill_in(model, token_ids):
    """Probabilities (B, T, V)."""
    logits = model.predict({**inputs, "token_ids": token_ids}, verbose=0)
    return ops.convert_to_numpy(ops.softmax(logits["masked_language_model"]))


each = np.arange(len(rows))
subject, verb, time = places_of(ANIMALS), places_of(SOUNDS), places_of(list(TIMES))
QUESTIONS = {  # places, and the words among which to choose
    "the animal": [(subject, ANIMALS)],
    "the verb": [(verb, SOUNDS), (verb + 1, ["##s", "##ed"])],
    "the time": [(time, list(TIMES))],
}
print(f"{'':12}  BERT  causal")
for name, places in QUESTIONS.items():
    hidden = rows.copy()
    for place, _ in places:
        hidden[each, place] = tokenizer.mask_id
    right = []
    for reader in (model, leftwards):
        p, found = fill_in(reader, hidden), True
        for place, choice in places:
            ids = np.array(ids_of(choice))
            said = ids[p[each, place][:, ids].argmax(axis=-1)]
            found &= said == rows[each, place]
        right.append(np.mean(found))
    print(f"{name:12} {right[0]:6.1%}  {right[1]:6.1%}")

# %% [markdown]
# BERT finds all of them. The causal model guesses the animal, one of six, since nothing
# to its left tells it, and it guesses the ending of the verb, so half of the verbs are
# wrong. The time it knows from the verb.
#
# So a left-to-right model cannot do this task. Nor could one that reads in both
# directions do GPT's: each place would see the word that it is asked for. Hidden words
# are what makes reading in both directions possible.
#
# A few texts, and the three most probable tokens where one is hidden:

# %%
for first, second in (
    ("the dog behind the cat [MASK] [MASK] yesterday", "it wanted a bone"),
    ("the dog behind the cat [MASK] [MASK] [MASK]", "it [MASK] [MASK] a bone"),
    ("the [MASK] behind the cat hooted yesterday", "it wanted a mouse"),
    ("the dog behind the cat meowed yesterday", "it wanted a bone"),
):
    asked = encode([first], [second])
    token_ids = asked["token_ids"][0]
    logits = model.predict(asked, verbose=0)["masked_language_model"]
    p = ops.convert_to_numpy(ops.softmax(logits))[0]  # (T, V)
    print(f"{first}. {second}.")
    wanted = [tokenizer.mask_id, *ids_of(["meow"])]
    for t in np.flatnonzero(np.isin(token_ids, wanted)):
        best = np.argsort(-p[t])[:3]
        names = tokenizer.tokens(best[None])[0]
        print(end="   ")
        print(*(f"  {name} {p[t, i]:.2f}" for name, i in zip(names, best, strict=True)))

# %% [markdown]
# Where the text does not tell the time, the model hesitates between two endings and two
# times. Each place has its own probabilities, so what is most probable at two places
# need not agree: to write a text, GPT is the better one.
#
# In the last text nothing is hidden, but the dog meows. At that place the model says
# "bark": a few of the tokens that it was asked for were other ones, so it does not
# believe what it reads. With `[MASK]` alone it would never have had to doubt a word.
#
# ## Does the second sentence follow?
#
# Asked with the true second sentences, and with those of other texts:

# %%
others = rng.permutation(len(seconds))
pairs = {"follows": seconds, "of another text": [seconds[i] for i in others]}
by_chance = np.mean([seconds[i] == seconds[other] for i, other in enumerate(others)])
for name, reader in {"BERT": model, "causal": leftwards}.items():
    right = []
    for kind, their_seconds in pairs.items():
        logits = reader.predict(encode(firsts, their_seconds), verbose=0)
        says_random = logits["next_sentence"].argmax(axis=-1) == 1
        right.append((says_random == (kind != "follows")).mean())
        print(f"{name:7} {kind:16} right {right[-1]:6.1%}")
    print(f"{name:7} {'all':16} right {np.mean(right):6.1%}")
print(f"the best that is possible: {1 - by_chance / 2:.1%}")

# %% [markdown]
# BERT is as good as one can be here. Under a causal mask `[CLS]`, which stands first,
# reads itself alone, and gives all pairs the same answer. (GPT classifies by its last
# token instead.)
#
# ## See the heads
#
# What do the heads read? One text with a hidden verb, a row for each token that reads:

# %%
hidden = rows.copy()
for place, _ in QUESTIONS["the verb"]:
    hidden[each, place] = tokenizer.mask_id
some = {name: array[:200] for name, array in {**inputs, "token_ids": hidden}.items()}
maps = attention_maps(model, some)
shown = next(i for i in range(200) if inputs["padding_mask"][i].all())
words = tokenizer.tokens(hidden[shown][None])[0]
show_heads(maps, queries=words, index=shown).figure()

# %% [markdown]
# Over 200 texts, how much weight the hidden sound and the hidden ending put on what
# decides them:

# %%
first = np.arange(200)
want, food = places_of(["want"])[:200], places_of(FOODS)[:200]
READ = {
    "animal": subject[:200],
    "time": time[:200],
    "food": food,
    "want's ending": want + 1,
}
print(f"{'':26}", *(f"{name:>14}" for name in READ))
for block, each_map in enumerate(maps.values()):
    for n in (0, 1):
        for name, query in {"sound": verb[:200], "ending": verb[:200] + 1}.items():
            weights = each_map.weights[first, n, query]  # (B, S)
            values = [weights[first, place].mean() for place in READ.values()]
            print(
                f"block {block}, head {n}: the {name:7}",
                *(f"{value:14.2f}" for value in values),
            )

# %% [markdown]
# Over the heads of what stands between, the sound reads its animal, with all the weight
# of one head of the second block, and the ending reads the time, to its right, and the
# other ending that agrees with it: both sides. In the picture `[CLS]` reads the food
# ("bone") in the first block and the animal ("dog") in the second: who compares them
# knows most of whether the second sentence follows.
#
# ## A third task with few labels
#
# Now somebody asks which sentences are **right**. Half of them have the sound of
# another animal or the ending of another time. The model is saved and loaded with
# another head, a new one; nothing else is new. Beside it learns the same model from
# scratch, with the same labels, the same number of steps and the same rate.


# %%
def labelled(count):
    """Sentences, and whether they are right, (B,)."""
    sentences, is_right = [], rng.random(count) < 0.5
    for right in is_right:
        animal, time = rng.integers(6), rng.choice(list(TIMES))
        change = {}
        if not right and rng.random() < 0.5:
            change = {"sound": (animal + rng.integers(1, 6)) % 6}
        elif not right:
            change = {"ending": "s" if TIMES[time] == "ed" else "ed"}
        sentences.append(first_sentence(animal, time, **change))
    return sentences, is_right.astype("int32")


test, test_labels = labelled(1000)
for sentence, label in zip(test[:4], test_labels, strict=False):
    print(label, sentence)

model.save_to_preset(folder / "bert")
classifier = BERT.from_preset(folder / "bert", head="classification", num_classes=2)
STARTS = {
    "pretrained": classifier.get_weights(),
    "from scratch": build("classification").get_weights(),
}
classifier.compile(
    keras.optimizers.Adam(0.001, clipnorm=1.0),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
classifier.optimizer.build(classifier.trainable_variables)
fresh = [ops.convert_to_numpy(v) for v in classifier.optimizer.variables]


def fine_tune(start, sentences, labels):
    """Accuracy after training from a start; the one model is compiled once."""
    classifier.set_weights(start)
    for variable, value in zip(classifier.optimizer.variables, fresh, strict=True):
        variable.assign(value)
    order = np.concatenate([rng.permutation(len(labels)) for _ in range(400)])
    order = order[: min(STEPS, 200) * 32]
    x = {name: array[order] for name, array in encode(sentences).items()}
    classifier.fit(x, labels[order], batch_size=32, verbose=0)
    said = classifier.predict(encode(test), verbose=0).argmax(axis=-1)
    return (said == test_labels).mean()


COUNTS, DRAWS = [16, 32, 64, 128, 256, 512], 3
accuracy = {name: np.zeros((len(COUNTS), DRAWS)) for name in STARTS}
for i, draw in np.ndindex(len(COUNTS), DRAWS):
    sentences, labels = labelled(COUNTS[i])
    for name, start in STARTS.items():
        accuracy[name][i, draw] = fine_tune(start, sentences, labels)

figure, axes = plt.subplots(figsize=(5.5, 3.5), layout="constrained")
print(f"{'labels':13}", *(f"{count:6}" for count in COUNTS))
for (name, values), style in zip(accuracy.items(), ("o-", "s--"), strict=True):
    print(f"{name:13}", *(f"{value:6.1%}" for value in values.mean(axis=1)))
    axes.plot(COUNTS, values.mean(axis=1), style, label=name)
    axes.fill_between(COUNTS, values.min(axis=1), values.max(axis=1), alpha=0.2)
axes.axhline(0.5, color="grey", linewidth=0.8)
axes.set_xscale("log", base=2)
axes.set_xticks(COUNTS, COUNTS)
axes.set_xlabel("labelled sentences")
axes.set_ylabel("right, of 1,000 new ones")
_ = axes.legend()

# %% [markdown]
# The lines are means of three draws of labels, the bands reach from the worst to the
# best. With 64 labels the pretrained model is right for 73 %, and from scratch it
# hardly does better than guessing (54 %). With 512 both know nearly all.
#
# That sentences have such rules was learned from texts without labels, 64 pairs in each
# step. What the labels had to add is what they are called. This is how BERT is used:
# pretrained once on much text, fine-tuned on little for each task.
#
# ## Exercises
#
# 1. Choose 50 % of the tokens (`rate=0.5`), or 5 %. Which of the numbers suffer?
# 2. Hide pieces in place of whole words (`whole_word=False`). How soon does the loss
#    fall, and is the verb still found when all of it is hidden?
# 3. Leave the segments out: give all tokens the segment 0. Does `[CLS]` still know
#    whether the second sentence follows?
# 4. RoBERTa (Liu et al. 2019, [arXiv:1907.11692](https://arxiv.org/abs/1907.11692))
#    leaves the second task out. Fine-tune after `head="masked_language_model"` alone.
# 5. Freeze all but the classifier (`classifier.encoder.trainable = False` and the
#    embedding). How much of the answer stands in `[CLS]` already?
# 6. Replace each chosen token by `[MASK]`, always. What does the model now say where
#    the dog meows?
#
# ## Where it is in the library
#
# - `keras_attention.applications.BERT` is the model; `head` chooses what follows it.
# - `keras_attention.data.MaskedLanguageModelDataset` makes the batches of a text
#   file of any size, `keras_attention.data.mask_tokens` hides tokens of arrays, and
#   `keras_attention.tokenizers.train_word_pieces` finds the pieces of a text:
#   [pretraining](../docs/pretraining.md).
# - `fit` takes texts and labels as they are: [fine-tuning](../docs/fine_tuning.md).
# - [The seventh tutorial](07_a_small_gpt_speaks.ipynb) trains the other half of the
#   Transformer, the one that writes.

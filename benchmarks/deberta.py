"""What do distances that are read apart cost DeBERTa at 512 tokens?

    KERAS_BACKEND=torch python benchmarks/deberta.py [--quick]

Random weights of the base size, float32, with what `fit` and `predict` run: one text of
512 tokens is sorted. A forward pass without dropout; a training step with that of the
papers and stochastic gradient descent. The peers are a BERT of ours of the same width
and depth and, on PyTorch, transformers in the usual loop.

Of two blocks of version 3 (`--quick`, the least of five rounds on two cores that had
other work, too): seconds over those of our BERT, forward and training, are 1.65 and
1.36 on PyTorch, where those of transformers are 2.02 and 1.53; 1.51 and 1.51 on JAX;
1.68 and 2.16 on TensorFlow. For one text, to project the table of distances twice takes
a seventh of what BERT's block multiplies, and the products with distances take an
eighth more; the rest is scores that are written more often. With more texts at a time
the table costs less of it.
"""

import keras
import numpy as np
from harness import installed
from harness import read_options
from harness import Report
from models import keras_contender
from models import transformers_contender

from keras_attention import applications

BASE = {"vocabulary_size": 30522, "num_layers": 12, "num_heads": 12, "hidden_dim": 768}
TINY = {"vocabulary_size": 50, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}
SIZES = {"full": {"size": BASE, "length": 512}, "tiny": {"size": TINY, "length": 32}}
SIZES["quick"] = {"size": {**BASE, "num_layers": 2}, "length": 512}
ROUNDS = {"full": 5, "quick": 3, "tiny": 1}
# Our class and what is special; the class of transformers, and its fields.
VERSIONS = {
    "DeBERTa": (
        applications.DeBERTa,
        {},
        "Deberta",
        {},
    ),
    "DeBERTa v3": (
        applications.DeBERTaV2,
        {"num_buckets": 256, "norm_distances": True, "share_projections": True},
        "DebertaV2",
        {
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
        },
    ),
}


def draw(size, length):
    """Inputs and labels of one text."""
    rng = np.random.default_rng(0)
    token_ids = rng.integers(1, size["vocabulary_size"], (1, length)).astype("int32")
    inputs = {"token_ids": token_ids, "padding_mask": np.ones(token_ids.shape, "bool")}
    return inputs, np.ones(1, "int32")


def ours(cls, size, **options):
    """A model of ours that classifies."""
    mlp_dim = 4 * size["hidden_dim"]
    return cls(head="classification", num_classes=2, mlp_dim=mlp_dim, **size, **options)


def theirs(name, size, fields):
    """The same of transformers."""
    import transformers

    config = getattr(transformers, f"{name}Config")(
        vocab_size=size["vocabulary_size"],
        hidden_size=size["hidden_dim"],
        num_hidden_layers=size["num_layers"],
        num_attention_heads=size["num_heads"],
        intermediate_size=4 * size["hidden_dim"],
        num_labels=2,
        type_vocab_size=0,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        max_relative_positions=-1,
        position_biased_input=False,
        **fields,
    )
    return getattr(transformers, f"{name}ForSequenceClassification")(config)


def make_contenders(version, size, length):
    """The models, a dict of contenders."""
    cls, options, name, fields = VERSIONS[version]
    inputs, labels = draw(size, length)
    bert = {**inputs, "segment_ids": 0 * inputs["token_ids"]}
    found = {
        "ours": keras_contender(ours(cls, size, **options), inputs, labels),
        "our BERT": keras_contender(ours(applications.BERT, size), bert, labels),
    }
    if keras.backend.backend() == "torch" and installed("transformers", "transformers"):
        model = theirs(name, size, fields)
        found["transformers"] = transformers_contender(model, inputs, labels)
        counts = {key: found[key].num_parameters for key in ("ours", "transformers")}
        if len(set(counts.values())) != 1:
            raise ValueError(f"The models must have equally many parameters: {counts}")
    return found


def main(arguments=None):
    options = read_options(__doc__, arguments, only="")
    report = Report("deberta", options)
    for version in VERSIONS:
        if options.only not in version:
            continue
        found = make_contenders(version, **SIZES[options.size])
        for kind in ("forward", "train"):
            calls = {key: getattr(c, kind) for key, c in found.items()}
            report.compare(f"{version}, {kind}", calls, rounds=ROUNDS[options.size])
    report.finish()


if __name__ == "__main__":
    main()

"""Public names come from one vocabulary: the table in CONTRIBUTING.md."""

import inspect
import re

import pytest

from helpers import parameters
from helpers import public_methods
from helpers import public_objects
from helpers import ROOT

pytestmark = pytest.mark.once

# What other libraries and papers call it: what it is called here.
VOCABULARY = {
    "hidden_dim": "d_model embed_dim embedding_dim emb_dim hidden_size n_embd",
    "num_heads": "heads n_head n_heads nhead num_attention_heads num_query_heads",
    "key_dim, value_dim": "d_k d_v dim_head dim_k dim_q dim_v head_dim head_size "
    "size_per_head",
    "num_key_value_heads": "kv_heads n_kv_heads num_kv_heads",
    "mlp_dim": "d_ff dim_feedforward feedforward_dim ff_dim ffn_dim filter_size "
    "intermediate_dim intermediate_size mlp_ratio",
    "num_layers": "depth depths n_layer n_layers num_blocks num_hidden_layers",
    "dropout": "drop drop_prob drop_rate dropout_prob dropout_rate p_drop",
    "vocabulary_size": "n_vocab num_embeddings vocab_size",
    "image_size": "img_size input_resolution",
    "num_classes": "n_classes num_labels",
    "mask": "attention_mask",
    "return_attention_scores": "need_weights output_attentions return_attention "
    "return_attention_weights",
    "is_causal, use_causal_mask": "causal",
}
FORBIDDEN = {
    word: ours for ours, theirs in VOCABULARY.items() for word in theirs.split()
}
# Words cut short that appear in no public name, alone or as a part.
CUT_SHORT = {
    "attn": "attention",
    "bsz": "batch_size",
    "cfg": "config",
    "ckpt": "checkpoint",
    "dec": "decoder",
    "emb": "embedding",
    "embd": "embedding",
    "enc": "encoder",
    "feat": "features",
    "feats": "features",
    "ffn": "mlp",
    "idx": "index",
    "img": "image",
    "imgs": "images",
    "kv": "key_value",
    "lbl": "label",
    "lr": "learning_rate",
    "msk": "mask",
    "num": "num_...",
    "pos": "position",
    "proj": "projection",
    "seq": "sequence",
    "src": "source",
    "tgt": "target",
    "tok": "token",
    "vocab": "vocabulary",
}
# What a whole field calls it: sequence to sequence.
NAME_OF_THE_FIELD = "Seq2Seq"
OBJECTS = public_objects()


def words_of(name):
    """The words of a snake_case or CamelCase name, in lower case."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)


def complaints(name):
    """What is wrong with a name, one sentence each."""
    if name in FORBIDDEN:
        yield f"`{name}` is called `{FORBIDDEN[name]}` here"
    words = words_of(name.replace(NAME_OF_THE_FIELD, ""))
    words = [word.lower() for word in words]
    for index, word in enumerate(words):
        if word == "num" and index + 1 < len(words):  # num_heads
            continue
        if word in CUT_SHORT:
            yield f"`{name}` cuts a word short: `{word}` is `{CUT_SHORT[word]}` here"


@pytest.mark.parametrize("name", OBJECTS)
def test_a_public_name_is_of_our_vocabulary(name):
    assert list(complaints(name.rpartition(".")[2])) == []


@pytest.mark.parametrize("name", OBJECTS)
def test_the_parameters_are_of_our_vocabulary(name):
    value = OBJECTS[name]
    functions = {"": value}
    if inspect.isclass(value):
        functions.update(public_methods(value))
        if hasattr(value, "call"):
            functions["call"] = value.call
    found = [
        f"{name}.{method}: {complaint}".replace(".:", ":")
        for method, function in functions.items()
        for parameter in [*parameters(function), method]
        for complaint in complaints(parameter)
    ]
    assert found == []


@pytest.mark.parametrize(
    "name", ["embed_dim", "attn_mask", "MultiHeadAttn", "kv_cache", "mlp_ratio", "num"]
)
def test_a_name_from_elsewhere_is_told(name):
    assert len(list(complaints(name))) == 1


@pytest.mark.parametrize(
    "name", ["hidden_dim", "num_heads", "RNNSeq2Seq", "mask", "padding_mask"]
)
def test_our_own_names_pass(name):
    assert list(complaints(name)) == []


def test_the_vocabulary_is_printed_for_contributors():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for ours in ("hidden_dim", "num_heads", "key_dim", "value_dim", "mlp_dim"):
        assert f"`{ours}`" in text
    for theirs in ("embed_dim", "head_dim", "d_model", "depth", "mlp_ratio"):
        assert theirs in text

"""Real weights that know chemistry: the ALBERT of rxnmapper and the BERTs of rxnfp.

Schwaller et al. 2021, doi:10.1126/sciadv.abe4166 and doi:10.1038/s42256-020-00284-w:
reactions are written in letters, and learned as texts are. Both packages come with
their weights: `pip install --no-deps rxnmapper==0.4.3 rxnfp==0.1.0`, 3 and 75 MB, MIT.
"""

import importlib.util
import pathlib
import re

import numpy as np
import pytest

from keras_attention.applications import ALBERT
from keras_attention.applications import BERT
from keras_attention.visualization import attention_maps
from published import assert_close
from published import run_reference

transformers = pytest.importorskip("transformers")

# The example of rxnmapper, whose paper reads head 6 of block 11.
REACTION = "CC(C)S.CN(C)C=O.Fc1cccnc1F.O=C([O-])[O-].[K+].[K+]>>CC(C)Sc1ncccc1F"
BLOCK, HEAD = 10, 5
# Atoms and bonds (Schwaller et al. 2019, doi:10.1021/acscentsci.9b00576).
PARTS = re.compile(r"\[[^]]+]|Br?|Cl?|>>|[A-Za-z]|[^A-Za-z]")


def weights_of(package, end):
    """The folder of a package's weights."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"needs its weights: pip install --no-deps {package}")
    root = pathlib.Path(spec.origin).parent
    return next(path.parent for path in root.rglob(f"{end}/config.json"))


def read(folder):
    """The parts of the reaction, and the inputs of a model."""
    words = (folder / "vocab.txt").read_text().split()
    parts = ["[CLS]", *PARTS.findall(REACTION), "[SEP]"]
    ids = np.array([[words.index(part) for part in parts]])
    ours = {"token_ids": ids, "padding_mask": ids > 0, "segment_ids": 0 * ids}
    return parts, words, ours


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:.*fields that no model reads")
def test_a_head_of_albert_follows_the_atoms():
    """All 11 atoms of the product are found among those that reacted."""
    folder = weights_of("rxnmapper", "albert_heads_8_uspto_all_1310k")
    model = ALBERT.from_preset(folder, tokenizer=None)
    parts, _, inputs = read(folder)
    reference = transformers.AlbertForMaskedLM.from_pretrained(folder).eval()
    expected = run_reference(reference, input_ids=inputs["token_ids"])["logits"]
    assert_close(model.predict(inputs, verbose=0), expected)
    found = attention_maps(model, inputs)[f"encoder/block_0/self_attention:{BLOCK}"]
    weights = found.weights[0, HEAD]
    arrow = parts.index(">>")
    atoms = [
        i
        for i, part in enumerate(parts)
        if re.match(r"[A-Za-z]|\[[A-Z0-9].?[+-]", part)
    ]
    before = [i for i in atoms if i < arrow]
    rows = weights[np.ix_([i for i in atoms if i > arrow], before)]
    found = [before[i] - 1 for i in rows.argmax(axis=1)]  # without [CLS]
    assert found == [0, 1, 3, 5, 23, 22, 21, 20, 19, 17, 16]
    assert 0.4 < rows.max(axis=1).min() < rows.max(axis=1).max() < 0.93


@pytest.mark.once
def test_bert_tells_a_hidden_atom():
    folder = weights_of("rxnfp", "bert_pretrained")
    model = BERT.from_preset(folder, head="masked_language_model", tokenizer=None)
    parts, words, inputs = read(folder)
    places = [4, 9, 12, len(parts) - 3]
    right = inputs["token_ids"][0, places]
    inputs["token_ids"][0, places] = words.index("[MASK]")
    logits = model.predict(inputs, verbose=0)
    reference = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    expected = run_reference(reference, input_ids=inputs["token_ids"])["logits"]
    assert_close(logits, expected)
    np.testing.assert_array_equal(logits[0, places].argmax(axis=-1), right)

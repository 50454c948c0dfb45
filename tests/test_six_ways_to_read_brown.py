"""Six recipes on Brown fit their models; a word has the vector of its last token."""

import keras
import numpy as np
import pytest

from helpers import load_script
from helpers import ROOT

pytestmark = pytest.mark.once

SENTENCES = [
    [("The", "at"), ("unbelievable", "jj"), ("jury", "nn"), ("said", "vbd")],
    [("It", "pps"), ("barked", "vbd")],
    [("Two", "cd"), ("juries", "nns"), ("said", "vbd"), (".", ".")],
]
DOCUMENTS = [SENTENCES * 4, SENTENCES[::-1] * 4]


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("tokenizers")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tutorials")
        return load_script("six_ways_to_read_brown")


@pytest.fixture
def text(script, tmp_path):
    return script.write_text(DOCUMENTS, tmp_path / "text.txt")


@pytest.fixture
def tokenizer(script, text):
    return script.train_tokenizer(text, 60)


@pytest.mark.parametrize(
    "name", ["BERT", "RoBERTa", "ALBERT", "DeBERTa", "XLNet", "GPT"]
)
def test_a_batch_is_what_the_model_reads_and_learns(script, text, tokenizer, name):
    model = script.build(name, tokenizer)
    inputs, labels, weights = script.make_dataset(name, text, tokenizer, text.parent)[0]
    outputs = model({tensor.name: inputs[tensor.name] for tensor in model.inputs})
    losses = script.losses_of(labels)
    pairs = [(losses, labels, outputs, weights)]
    if isinstance(labels, dict):
        pairs = [(losses[n], labels[n], outputs[n], weights[n]) for n in labels]
    for loss, y, found, weight in pairs:
        assert np.isfinite(float(loss(y, found, weight)))


def test_the_vector_of_a_word_is_that_of_its_last_token(script, text, tokenizer):
    keras.utils.set_random_seed(0)
    model = script.build("RoBERTa", tokenizer, head=None)
    vectors, tags = script.word_vectors(model, SENTENCES)
    assert tags == [tag for sentence in SENTENCES for _, tag in sentence]
    (ids,) = tokenizer.encode([" ".join(w for w, _ in SENTENCES[0])])
    ids = np.array([ids])
    alone = model({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    alone = keras.ops.convert_to_numpy(alone["tokens"])[0]
    ends = np.cumsum([len(tokenizer.encode([w])[0]) - 2 for w, _ in SENTENCES[0]])
    np.testing.assert_allclose(vectors[:4], alone[ends], atol=1e-5)
    assert script.probe(model, SENTENCES * 5, SENTENCES) > 0.8


def test_a_folder_without_documents_is_told(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main([str(tmp_path)])
    assert "holds no documents of the Brown corpus" in capsys.readouterr().err

"""KerasHub's tokenizers become ours, with the same ids; its preprocessors plug in."""

import numpy as np
import pytest

from keras_attention.applications import BERT
from keras_attention.checkpoints import from_keras_hub as model_from_keras_hub
from keras_attention.tokenizers import from_keras_hub
from published_tokenizers import SENTENCES
from published_tokenizers import train_pieces
from published_tokenizers import WORDS
from published_tokenizers import write_pairs

models = pytest.importorskip("keras_hub.models")
pytest.importorskip("sentencepiece")
pytestmark = pytest.mark.once


def words(folder):
    return models.BertTokenizer(vocabulary=WORDS, lowercase=True)


def distilled(folder):
    return models.DistilBertTokenizer(vocabulary=WORDS, lowercase=False)


def byte_pairs(cls, *special):
    def make(folder):
        write_pairs(folder, "gpt2", list(special))
        return cls(
            vocabulary=str(folder / "vocab.json"), merges=str(folder / "merges.txt")
        )

    return make


def pieces(cls, **options):
    def make(folder):
        train_pieces(folder / "spiece.model", **options)
        return cls(proto=(folder / "spiece.model").read_bytes())

    return make


SPECIAL = {
    "pad_id": 0,
    "pad_piece": "[PAD]",
    "unk_id": 3,
    "unk_piece": "[UNK]",
    "bos_id": 1,
    "bos_piece": "[CLS]",
    "eos_id": 2,
    "eos_piece": "[SEP]",
}
ALBERT = {**SPECIAL, "pad_piece": "<pad>", "unk_id": 1, "unk_piece": "<unk>"}
ALBERT |= {"bos_id": 2, "eos_id": 3, "user_defined_symbols": "[MASK]"}
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
MAKE = {
    "BERT": words,
    "DistilBERT": distilled,
    "GPT-2": byte_pairs(models.GPT2Tokenizer, "<|endoftext|>"),
    "RoBERTa": byte_pairs(models.RobertaTokenizer, *ROBERTA),
    "ALBERT": pieces(models.AlbertTokenizer, **ALBERT),
    "DeBERTa v3": pieces(models.DebertaV3Tokenizer, **SPECIAL),
}


def plain(text):
    return text.lower().replace("ï", "i").replace("é", "e")


# Texts in which there is nothing that one of the two leaves as it is.
PLAIN = {"BERT": plain, "ALBERT": plain}


@pytest.mark.parametrize("name", MAKE)
def test_the_ids_are_the_same(tmp_path, name):
    theirs = MAKE[name](tmp_path)
    ours = from_keras_hub(theirs)
    for text in (*SENTENCES, "unwanted dogs, barked!"):
        text = PLAIN.get(name, str)(text)
        found = ours.encode([text])[0].tolist()
        ids = np.asarray(theirs(text)).tolist()
        start = (len(found) - len(ids)) // 2  # what stands around a text
        assert found[start : start + len(ids)] == ids, text
        assert {*found[:start], *found[start + len(ids) :]} <= set(ours.special_ids)


def test_a_preprocessor_says_how_long_a_text_may_be():
    preprocessor = models.BertTextClassifierPreprocessor(words(None), sequence_length=7)
    tokenizer = from_keras_hub(preprocessor)
    assert tokenizer.max_length == 7
    text = " ".join(["the dog"] * 9)
    expected = np.asarray(preprocessor(text)["token_ids"])
    np.testing.assert_array_equal(tokenizer.encode([text])[0], expected)


def test_what_a_preprocessor_makes_is_what_our_model_reads():
    tokenizer = words(None)
    backbone = models.BertBackbone(
        vocabulary_size=len(WORDS),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=8,
        max_sequence_length=16,
    )
    model = model_from_keras_hub(
        backbone,
        head="classification",
        num_classes=2,
        tokenizer=from_keras_hub(tokenizer),
    )
    preprocessor = models.BertTextClassifierPreprocessor(tokenizer, sequence_length=9)
    texts = ["the dogs barked", "a café is wanted!"]
    made = {name: np.asarray(x) for name, x in preprocessor(texts).items()}
    np.testing.assert_allclose(
        model.predict(made, verbose=0), model.predict(texts, verbose=0), atol=1e-5
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(made, np.array([0, 1]), verbose=0)


def test_what_is_no_tokenizer_is_refused():
    with pytest.raises(ValueError, match="must be one of KerasHub's BertTokenizer"):
        from_keras_hub("bert_base_en")
    with pytest.raises(ValueError, match="make one of KerasHub's by `from_keras_hub`"):
        BERT(
            tokenizer=words(None),
            vocabulary_size=len(WORDS),
            hidden_dim=8,
            num_layers=1,
            num_heads=2,
        )

"""The Brown corpus is read as its package has it, and tags are learned from it."""

import re

import pytest

from helpers import load_script

pytestmark = pytest.mark.once

DOCUMENT = """

\tThe/at Fulton/np-tl jury/nn said/vbd \xe9tat/fw-nn wasn't/bedz* ``/`` it/ppo ./.


\tIt/pps didn't/dod* say/vb over/under/in ,/, she's/pps+bez there/rb ./.

"""


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("tokenizers")
    return load_script("bert_on_brown")


@pytest.fixture
def folder(tmp_path):
    for number in range(10):
        (tmp_path / f"ca{number:02}").write_text(DOCUMENT, "utf-8")
    (tmp_path / "README").write_text("A/at corpus/nn\n")
    return tmp_path


def test_words_have_the_first_part_of_their_tags(script, folder):
    documents = script.read_brown(folder)
    assert [len(document) for document in documents] == [2] * 10
    tags = {pair for sentence in documents[0] for pair in sentence}
    expected = {
        ("Fulton", "np"),
        ("\xe9tat", "nn"),
        ("wasn't", "bedz"),
        ("``", "``"),
        (".", "."),
        ("over/under", "in"),
        ("she's", "pps"),
    }
    assert expected <= tags


def test_sentences_that_are_held_out_are_of_documents_that_are_not_read(script):
    documents = [[[(f"{i}", "cd")] * 3] for i in range(10)]
    read, tagged, test = script.split_brown(documents, held_out=1)
    assert len(read) == len(tagged) == 8 and len(test) == 1
    assert test[0] not in tagged


def test_a_new_word_is_taken_for_a_noun(script):
    train = [[("run", "nn"), ("run", "vb"), ("Run", "vb")]]
    test = [[("run", "vb"), ("cat", "nn"), ("ran", "vbd")]]
    assert script.remember_words(train, test) == 2 / 3


def test_it_pretrains_and_compares(script, folder, capsys, monkeypatch):
    monkeypatch.setattr(script, "COUNTS", (4,))
    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
    monkeypatch.setattr(script, "SIZES", sizes)
    options = ["--minutes", "0.001", "--vocabulary", "90", "--steps", "2"]
    script.main([str(folder), *options])
    printed = capsys.readouterr().out
    rows = re.findall(r"^ +4 +([\d.]+)% +([\d.]+)% +([\d.]+)%$", printed, re.M)
    # Only "it" has two tags: 16 of 17 words have one that can be remembered.
    assert len(rows) == 1 and float(rows[0][2]) == 94.1


def test_a_folder_without_documents_is_told(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main([str(tmp_path)])
    assert "holds no documents of the Brown corpus" in capsys.readouterr().err

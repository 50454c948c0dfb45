"""What is in the cache of huggingface_hub opens without the hub."""

import json

import pytest

from helpers import run_in_fresh_process
from keras_attention.applications import BERT
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer

pytestmark = pytest.mark.once
pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# One process: huggingface_hub reads the variables when it is imported.
CODE = """
    import pathlib
    from keras_attention.applications import from_preset

    def tell(name):
        try:
            model = from_preset(name)
            print(type(model).__name__, len(model.tokenizer))
        except FileNotFoundError as error:
            print(type(error).__name__, " ".join(str(error).split()))

    tell("hf://somebody/tiny")
    (snapshot,) = pathlib.Path("models--somebody--tiny/snapshots").iterdir()
    (snapshot / "tokenizer_config.json").unlink()
    tell("hf://somebody/tiny")
    (snapshot / "config.json").unlink()
    tell("hf://somebody/tiny")
    tell("hf://nobody/tiny")
"""


def write_tree(repository, names):
    """What huggingface_hub 2 keeps of a repository: the list of all its files."""
    entry = {"size": 1, "blob_id": "0" * 40}
    text = json.dumps({"format_version": 1, "files": dict.fromkeys(names, entry)})
    (repository / "trees").mkdir()
    (repository / "trees" / f"{COMMIT}.json").write_text(text)


def test_only_files_that_count_must_be_there(tmp_path):
    """A vocabulary that tokenizer.json holds, too, does not; its settings do."""
    repository = tmp_path / "models--somebody--tiny"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    sizes = {"hidden_dim": 4, "num_layers": 1, "num_heads": 1, "mlp_dim": 4}
    tokenizer = word_piece_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])
    BERT(tokenizer=tokenizer, vocabulary_size=5, **sizes).save_to_preset(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    missing = ["vocab.txt", "generation_config.json", "pytorch_model.bin", "README.md"]
    write_tree(repository, [path.name for path in snapshot.iterdir()] + missing)
    env = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    whole, settings, config, unknown = run_in_fresh_process(
        CODE, cwd=tmp_path, env=env
    ).splitlines()
    assert whole == "BERT 5"
    assert settings.startswith("IncompleteSnapshotError")
    assert "tokenizer_config.json" in settings and "config.json" in config
    assert "HF_HUB_OFFLINE" in unknown

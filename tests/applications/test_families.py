"""Published encoders of texts against transformers: tiny random models, odd ones."""

import json

import keras
import numpy as np
import pytest
from family_table import CASES
from family_table import ROWS
from family_table import SAME_HEAD

from helpers import to_numpy
from keras_attention import applications
from keras_attention.backend.without_values import built_without_values
from keras_attention.checkpoints import named_weights
from keras_attention.checkpoints.arguments import argument_defaults
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
from published import assert_close
from published import MASK
from published import run_reference
from published import save_reference
from published import state_of

transformers = pytest.importorskip("transformers")


def named(rows):
    """Rows of the table by the name of their model."""
    return pytest.mark.parametrize("row", rows, ids=[r.model.__name__ for r in rows])


cases = pytest.mark.parametrize(
    "row, head", CASES, ids=[f"{row.model.__name__}-{head}" for row, head in CASES]
)
FAMILIES = named(ROWS)
ALONE = named([row for row in ROWS if not row.has_memory])  # see `test_xlnet.py`


def saved(row, head, folder):
    """A model of transformers with a head, saved."""
    end, changes, _ = row.heads.get(head, ("Model", {}, {}))
    return save_reference(row.published + end, folder, **{**row.config, **changes})


@cases
def test_the_logits_are_those_of_transformers(tmp_path, row, head):
    reference = saved(row, head, tmp_path)
    model = applications.from_preset(tmp_path)
    assert type(model) is row.model
    assert model.head == SAME_HEAD.get(head, head)
    ours, theirs = row.inputs(head)
    expected = run_reference(reference, **theirs)
    found = to_numpy(model(ours))
    for name, published in row.heads[head][2].items():
        logits = found if name is None else found[name]
        mask = row.mask if logits.shape[:2] == row.mask.shape else None
        assert_close(logits, expected[published], mask)


@ALONE
def test_each_block_computes_what_that_of_transformers_does(tmp_path, row):
    reference = saved(row, None, tmp_path)
    reference.config.output_hidden_states = True
    reference.config.output_attentions = True
    ours, theirs = row.inputs(None, MASK)
    expected = run_reference(reference, **theirs)
    model = row.model.from_preset(tmp_path)
    x = model.embedding(ours["token_ids"], ours.get("segment_ids"))
    for number, block in enumerate(model.encoder.running_blocks):
        assert_close(to_numpy(x), expected["hidden_states"][number], MASK)
        x, weights = block(x, mask=MASK.astype(bool), return_attention_scores=True)
        assert_close(
            to_numpy(weights).transpose(0, 2, 1, 3),
            expected["attentions"][number].transpose(0, 2, 1, 3),
            MASK,
        )
    found = to_numpy(model(ours))
    if "pooler_output" in expected:
        assert_close(found["pooled"], expected["pooler_output"])
        found = found["tokens"]
    assert_close(found, expected["last_hidden_state"], MASK)


@pytest.mark.once
@cases
def test_what_is_saved_here_opens_there(tmp_path, row, head):
    reference = saved(row, head, tmp_path / "theirs")
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    again, report = type(reference).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    harmless = row.missing if head == "untied" else set()
    assert set(report["missing_keys"]) <= harmless
    assert not report["unexpected_keys"]
    theirs, ours = state_of(reference), state_of(again)
    if head == "their_words":  # are written under the names that transformers has
        assert_close(
            run_reference(again.eval(), **row.inputs(head)[1])["logits"],
            run_reference(reference, **row.inputs(head)[1])["logits"],
        )
        return
    assert set(ours) == set(theirs)
    for key in theirs.keys() - harmless:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    for field in row.config:
        assert getattr(again.config, field) == getattr(reference.config, field)
    for field in ("num_labels", "problem_type"):
        wanted = getattr(reference.config, field)
        assert wanted is None or getattr(again.config, field) == wanted
    here = applications.from_preset(tmp_path / "ours")
    assert {**here.get_config(), "name": ""} == {**model.get_config(), "name": ""}


@pytest.mark.once
@FAMILIES
def test_a_masked_language_model_begins_a_classifier(tmp_path, row):
    """What stands behind the encoder is new; all that is below is loaded."""
    saved(row, row.words, tmp_path)
    before = named_weights(row.model.from_preset(tmp_path))
    model = row.model.from_preset(tmp_path, num_classes=3)
    after = named_weights(model)
    assert model.output_shape == (None, 3)
    new = {name.split("/")[0] for name in after.keys() - before.keys()}
    assert new == {"pooler", "classifier"}
    for name in after.keys() & before.keys():
        np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.once
@FAMILIES
def test_a_classifier_is_loaded_without_its_head(tmp_path, row):
    saved(row, "classification", tmp_path)
    whole = named_weights(row.model.from_preset(tmp_path))
    part = named_weights(row.model.from_preset(tmp_path, head="question_answering"))
    assert {name.split("/")[0] for name in part.keys() - whole.keys()} == {
        "question_answering_head"
    }
    for name in part.keys() & whole.keys():
        np.testing.assert_array_equal(part[name], whole[name])


PRESETS = [(row, preset) for row in ROWS for preset in row.model.presets_table]


@pytest.mark.once
@pytest.mark.parametrize("row, preset", PRESETS, ids=[preset for _, preset in PRESETS])
def test_the_presets_have_the_published_sizes(row, preset):
    """Counted with one block, whose like the others are, and few words."""
    entry = dict(row.model.presets_table[preset])
    parameters = entry.pop("parameters")
    assert f"{parameters:,} parameters" in row.model.presets()[preset]
    del entry["description"]
    arguments = {**argument_defaults(row.model), **entry}
    assert arguments["vocabulary_size"] == row.preset_words
    small = {**entry, "num_layers": 1, "vocabulary_size": 7}
    model = built_without_values(lambda: row.model(**small))
    shared = "distances/"  # a table of all blocks stands in the first
    block = sum(
        int(np.prod(weight.shape))
        for name, weight in named_weights(model).items()
        if name.startswith("encoder/block_0/") and shared not in name
    )
    blocks = arguments.get("num_groups") or arguments["num_layers"]
    counted = model.count_params() + (blocks - 1) * block
    width = arguments.get("table_dim") or arguments["hidden_dim"]
    words = (row.preset_words - 7) * width
    assert counted + words == parameters


@pytest.mark.once
@FAMILIES
def test_every_argument_survives_a_keras_file(tmp_path, row):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]
    arguments = row.all_arguments()
    names = row.model.__init__.__signature__.parameters.keys()
    assert arguments.keys() == names - {"self", "tokenizer", "dtype"}
    model = row.model(tokenizer=word_piece_tokenizer(words), **arguments)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.tokenizer == model.tokenizer
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
@pytest.mark.filterwarnings(
    "ignore:A published config.json has no field for max_length"
)
@FAMILIES
def test_every_argument_survives_the_published_files(tmp_path, row):
    model = row.model(**row.all_arguments())
    model.save_to_preset(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [f"{row.published}ForTokenClassification"]
    again = row.model.from_preset(tmp_path, name="mine", seed=2)
    assert again.get_config() == model.get_config()


@pytest.mark.compiles_much
@FAMILIES
def test_one_step_of_training_moves_every_weight(row):
    head = "pretraining" if "pretraining" in row.heads else row.pretraining
    small = {**row.all_arguments(), "num_classes": None, "class_names": None}
    small |= {"head": head, "tie_embeddings": True, "dropout": 0.2, "padding_id": 0}
    small |= {"num_segments": 2} if "num_segments" in small else {}
    small |= {"same_length": False} if row.has_memory else {}
    model = row.model(**small)
    model.compile("adam", keras.tree.map_structure(lambda _: "mse", model.output))
    before = model.get_weights()
    ids = np.arange(1, 9).reshape(2, 4)
    inputs = {
        "token_ids": ids,
        "padding_mask": np.ones_like(ids),
        "segment_ids": ids % 2,
        "permutation_mask": np.tri(4)[None].repeat(2, axis=0),
        "target_positions": np.arange(4).reshape(2, 2),
    }
    inputs = {tensor.name: inputs[tensor.name] for tensor in model.inputs}
    targets = keras.tree.map_structure(np.ones_like, to_numpy(model(inputs)))
    model.fit(inputs, targets, epochs=1, verbose=0)
    names = [weight.path for weight in model.weights]
    after = model.get_weights()
    still = [n for n, a, b in zip(names, before, after, strict=True) if (a == b).all()]
    assert still == []


@pytest.mark.once
def test_xlm_roberta_is_read_and_becomes_a_roberta(tmp_path):
    row = next(row for row in ROWS if row.published == "Roberta")
    there = tmp_path / "theirs"
    reference = save_reference("XLMRobertaForMaskedLM", there, **row.config)
    model = applications.from_preset(there)
    assert type(model) is row.model
    model.save_to_preset(tmp_path / "ours")
    again = transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "ours")
    ours, theirs = row.inputs("masked_language_model")
    expected = run_reference(reference, **theirs)["logits"]
    assert_close(to_numpy(model(ours)), expected, row.mask)
    assert_close(run_reference(again.eval(), **theirs)["logits"], expected, row.mask)


@pytest.mark.once
@FAMILIES
def test_a_copy_of_a_tied_weight_must_be_one(tmp_path, row):
    """Of two names of the table either is read; two that differ are refused."""
    import safetensors.numpy

    saved(row, row.words, tmp_path)
    expected = named_weights(row.model.from_preset(tmp_path))
    path = tmp_path / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    tables = ("word_embeddings.weight", "word_embedding.weight")
    (table,) = [name for name in tensors if name.endswith(tables)]
    family = row.model.families[0]
    (copy,) = [
        name
        for name, kind in family.harmless_for(argument_defaults(row.model)).items()
        if getattr(kind, "of", "").endswith(tables)
    ]
    only_copy = {copy if name == table else name: x for name, x in tensors.items()}
    safetensors.numpy.save_file(only_copy, path)
    for name, weight in named_weights(row.model.from_preset(tmp_path)).items():
        np.testing.assert_array_equal(weight, expected[name])
    safetensors.numpy.save_file({**tensors, copy: tensors[table] + 1}, path)
    with pytest.raises(ValueError, match="unlike what it is tied to .*word_embedd"):
        row.model.from_preset(tmp_path)


@pytest.mark.once
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"pos_att_type": []}, "relative_attention=True with pos_att_type=.."),
        ({"pos_att_type": ["p2p"]}, "pos_att_type=.'p2p'.*Known"),
        ({"attention_head_size": 5}, "attention_head_size=5"),
    ],
)
def test_distances_that_are_not_known_are_refused(tmp_path, changes, message):
    row = next(row for row in ROWS if row.published == "DebertaV2")
    saved(row, None, tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ValueError, match=message):
        row.model.from_preset(tmp_path)

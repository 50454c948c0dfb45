"""LoRA: what is frozen, what is trained, saved, and merged."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention import checkpoints
from keras_attention import layers
from keras_attention.applications import AttentionSeq2Seq
from keras_attention.applications import BERT
from keras_attention.applications import GPT2
from keras_attention.applications import RNNSeq2Seq
from keras_attention.checkpoints.weights import named_weights
from keras_attention.training import add_lora
from keras_attention.training import load_lora
from keras_attention.training import merge_lora
from keras_attention.training import save_lora

ALL = ("query", "key", "value", "output", "mlp")


def tiny_bert(**arguments):
    return BERT(
        vocabulary_size=20,
        hidden_dim=8,
        num_layers=2,
        num_heads=2,
        mlp_dim=12,
        head="classification",
        num_classes=3,
        **arguments,
    )


def tiny_inputs():
    token_ids = np.random.default_rng(0).integers(0, 20, (6, 5))
    return {
        "token_ids": token_ids,
        "padding_mask": np.ones((6, 5), "bool"),
        "segment_ids": np.zeros((6, 5), "int32"),
    }


def arrays(model):
    return {name: to_numpy(w).copy() for name, w in named_weights(model).items()}


def train(model, rate=0.1):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss)
    model.fit(tiny_inputs(), np.arange(6) % 3, epochs=3, batch_size=6, verbose=0)


def shake(model):
    """Other values for what is trained, as training would give them."""
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0.0, 0.5, weight.shape).astype("float32"))


def test_an_adapter_is_equation_3():
    layer = layers.LowRankAdapter(rank=2, output_dim=5, alpha=6.0)
    inputs = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_array_equal(to_numpy(layer(inputs)), np.zeros((4, 5)))
    down = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], "float32")
    up = np.arange(10, dtype="float32").reshape(2, 5)
    layer.down.assign(down)
    layer.up.assign(up)
    np.testing.assert_allclose(
        to_numpy(layer(inputs)), 6.0 / 2 * (inputs @ down) @ up, rtol=1e-5
    )
    np.testing.assert_allclose(to_numpy(layer.product), 3.0 * down @ up, rtol=1e-6)


@pytest.mark.parametrize("same", [True, False])
def test_it_is_a_change_of_the_kernels_columns(same):
    """Adapters of query and value of a joint kernel change these columns alone."""
    rng = np.random.default_rng(2)
    layer = layers.MultiHeadAttention(num_heads=2, key_dim=3, num_key_value_heads=1)
    query = rng.normal(size=(2, 4, 8)).astype("float32")
    value = query if same else rng.normal(size=(2, 5, 8)).astype("float32")
    layer(query, value)
    (kernel,) = (w for w in layer.weights if w.name == "query_key_value_kernel")
    before = to_numpy(kernel).copy()
    changes = {}
    for target, found, first, last in layer.adaptable_kernels():
        if target in ("query", "value"):
            adapter = layers.LowRankAdapter(2, last - first, name=f"{target}_adapter")
            layer.add_adapter(found, first, adapter)
            adapter.up.assign(rng.normal(size=(2, last - first)))
            changes[first, last] = to_numpy(adapter.product)
    assert list(changes) == [(0, 6), (9, 12)]
    adapted = to_numpy(layer(query, value))
    layer.merge_adapters()
    after = before.copy()
    for (first, last), change in changes.items():
        after[:, first:last] += change
    np.testing.assert_allclose(to_numpy(kernel), after, atol=1e-6)
    np.testing.assert_allclose(to_numpy(layer(query, value)), adapted, atol=1e-5)


def test_nothing_changes_before_training():
    model = tiny_bert()
    before = model.predict(tiny_inputs(), verbose=0)
    # Query and value of two blocks, 8 x 2 + 2 x 8 each, and the classifier, 8 x 3 + 3.
    assert add_lora(model, rank=2) == 4 * 32 + 27
    after = model.predict(tiny_inputs(), verbose=0)
    np.testing.assert_array_equal(after, before)


@pytest.mark.compiles_much
@pytest.mark.skipif(BACKEND != "torch", reason="It is about modules of PyTorch.")
def test_pytorch_knows_the_adapters():
    """Its optimizers take `parameters()`, its files the `state_dict()`."""
    model = tiny_bert()
    before = len(model.state_dict())
    add_lora(model, rank=2)
    learned = {id(p) for p in model.parameters() if p.requires_grad}
    assert learned == {id(v.value) for v in model.trainable_variables}
    assert len(model.state_dict()) > before
    model.load_state_dict(model.state_dict())
    merge_lora(model)
    assert len(model.state_dict()) == before


def test_what_is_trained_is_what_is_saved(tmp_path):
    """Training changes the weights that the file has, and no others."""
    model = tiny_bert()
    shake(model)  # its first weights are small, and so are their gradients
    model.save(tmp_path / "base.keras")
    add_lora(model, rank=2, dropout=0.1, targets=ALL, seed=1)
    before = arrays(model)
    train(model)
    after = arrays(model)
    changed = {k for k in after if not np.array_equal(after[k], before[k])}
    save_lora(model, tmp_path / "lora.safetensors")
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "base.keras",
        "lora.safetensors",
    ]
    with checkpoints.tensors.open_safetensors(tmp_path / "lora.safetensors") as file:
        assert set(file.keys()) == changed
    assert "classifier/bias" in changed
    assert "encoder/block_1/self_attention/value_adapter/up" in changed

    other = keras.models.load_model(tmp_path / "base.keras")
    load_lora(other, tmp_path / "lora.safetensors")
    np.testing.assert_allclose(
        other.predict(tiny_inputs(), verbose=0),
        model.predict(tiny_inputs(), verbose=0),
        atol=1e-6,
    )


def test_a_keras_file_holds_the_adapters(tmp_path):
    model = tiny_bert()
    add_lora(model, rank=3, alpha=4.0, targets="mlp", also_train=["pooler"], seed=5)
    shake(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    names = [name for name, w in named_weights(loaded).items() if w.trainable]
    assert names == [name for name, w in named_weights(model).items() if w.trainable]
    np.testing.assert_allclose(
        loaded.predict(tiny_inputs(), verbose=0),
        model.predict(tiny_inputs(), verbose=0),
        atol=1e-6,
    )


def test_merging_is_exact():
    model = tiny_bert()
    names = list(named_weights(model))
    add_lora(model, rank=2, targets=ALL)
    shake(model)
    before = model.predict(tiny_inputs(), verbose=0)
    merge_lora(model)
    assert list(named_weights(model)) == names
    assert len(model.trainable_weights) == len(names)
    after = model.predict(tiny_inputs(), verbose=0)
    np.testing.assert_allclose(after, before, atol=1e-5)
    add_lora(model, rank=2)  # and again


def test_a_model_that_wrote_before_writes_with_its_adapters():
    """A program that was compiled without adapters is not used with them."""
    model = GPT2(
        vocabulary_size=20, hidden_dim=8, num_layers=1, num_heads=2, end_id=None
    )
    prompt = [[3, 5, 4]]
    model.generate(prompt, max_new_tokens=4)
    add_lora(model, targets=ALL)
    shake(model)
    adapted = model.generate(prompt, max_new_tokens=4)
    inputs = {"token_ids": adapted[:, :-1], "padding_mask": np.ones((1, 6), "bool")}
    expected = model.predict(inputs, verbose=0).argmax(axis=-1)
    np.testing.assert_array_equal(adapted[:, 3:], expected[:, 2:])
    merge_lora(model)
    np.testing.assert_array_equal(model.generate(prompt, max_new_tokens=4), adapted)


@pytest.mark.skipif(BACKEND != "torch", reason="a torch user's training loop")
def test_pytorch_sees_the_adapters():
    """In `parameters()`, for an optimizer of its own, and in `state_dict()`."""
    model = tiny_bert()
    whole = set(model.state_dict())
    add_lora(model, rank=2, targets=ALL)
    seen = {id(p) for p in model.parameters() if p.requires_grad}
    assert seen == {id(w.value) for w in model.trainable_weights}
    state = {name: x.clone() for name, x in model.state_dict().items()}
    assert len(state) > len(whole)
    before = arrays(model)
    shake(model)
    model.load_state_dict(state)
    for name, array in arrays(model).items():
        np.testing.assert_array_equal(array, before[name])
    merge_lora(model)
    assert set(model.state_dict()) == whole
    seen = {id(p) for p in model.parameters() if p.requires_grad}
    assert seen == {id(w.value) for w in model.trainable_weights}


def test_additive_attention_can_be_adapted():
    model = AttentionSeq2Seq(
        source_vocabulary_size=9, target_vocabulary_size=8, hidden_dim=4, word_dim=4
    )
    add_lora(model, rank=1, targets=("query", "key"), also_train=[])
    assert len(model.trainable_weights) == 4


def test_it_is_written_for_others_only_when_it_is_merged(tmp_path):
    model = tiny_bert()
    add_lora(model)
    with pytest.raises(ValueError, match="has adapters, which no published layout"):
        model.save_to_preset(tmp_path / "bert")
    assert not (tmp_path / "bert").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 0}, "`rank` must be a positive integer. Received: rank=0"),
        ({"alpha": 0.0}, "`alpha` must be positive. Received: alpha=0.0"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and less than 1"),
        ({"targets": ["keys"]}, "`target` must be one of .*Received: 'keys'"),
        ({"also_train": ["head"]}, "has no layer 'head'. Pass paths of"),
    ],
)
def test_bad_arguments_change_nothing(arguments, message):
    model = tiny_bert()
    names = list(named_weights(model))
    with pytest.raises(ValueError, match=message):
        add_lora(model, **arguments)
    assert list(named_weights(model)) == names
    assert len(model.trainable_weights) == len(names)


def test_adapters_at_the_wrong_time():
    model = tiny_bert()
    with pytest.raises(ValueError, match="has no adapters. Call `add_lora` first"):
        merge_lora(model)
    with pytest.raises(ValueError, match="has no adapters. Call `add_lora` first"):
        save_lora(model, "lora.safetensors")
    add_lora(model)
    with pytest.raises(ValueError, match="has adapters already. Call `merge_lora`"):
        add_lora(model)
    model = tiny_bert()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Call `add_lora` before `compile`"):
        add_lora(model)


def test_a_model_without_attention_has_nothing_to_adapt():
    model = RNNSeq2Seq(
        source_vocabulary_size=9, target_vocabulary_size=8, hidden_dim=4, word_dim=4
    )
    with pytest.raises(ValueError, match="No layer of .* has a projection of"):
        add_lora(model)


def test_files_that_do_not_fit(tmp_path):
    model = tiny_bert()
    add_lora(model, rank=2)
    with pytest.raises(ValueError, match="must end in .safetensors, and the"):
        save_lora(model, tmp_path / "lora.bin")
    save_lora(model, tmp_path / "lora.safetensors")
    other = BERT(vocabulary_size=20, hidden_dim=4, num_layers=2, num_heads=2, mlp_dim=8)
    before = arrays(other)
    with pytest.raises(ValueError, match=r"classifier|has no layer"):
        load_lora(other, tmp_path / "lora.safetensors")
    assert list(arrays(other)) == list(before)
    wide = BERT(
        vocabulary_size=20,
        hidden_dim=16,
        num_layers=2,
        num_heads=2,
        mlp_dim=8,
        head="classification",
    )
    names = list(named_weights(wide))
    with pytest.raises(ValueError, match="does not fit BERT .* Nothing was loaded"):
        load_lora(wide, tmp_path / "lora.safetensors")
    assert list(named_weights(wide)) == names
    with pytest.raises(ValueError, match="There is no file .*`save_lora` writes one"):
        load_lora(wide, tmp_path / "other.safetensors")

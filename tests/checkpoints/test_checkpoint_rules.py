"""Rules between published tensors and ours, read in both directions."""

import numpy as np
import pytest

from keras_attention.checkpoints import Family
from keras_attention.checkpoints import Field
from keras_attention.checkpoints import Rule
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import AXIS_IN_FRONT
from keras_attention.checkpoints.rules import CONVOLUTION
from keras_attention.checkpoints.rules import each
from keras_attention.checkpoints.rules import match
from keras_attention.checkpoints.rules import SAME
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED
from keras_attention.tasks.task_head import count_classes

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "transform, shapes, ours",
    [
        (SAME, [(2, 3)], (2, 3)),
        (TRANSPOSED, [(2, 3)], (3, 2)),
        (CONVOLUTION, [(2, 3, 5, 7)], (5, 7, 3, 2)),
        (AXIS_IN_FRONT, [(1, 2, 3)], (2, 3)),
        (side_by_side(), [(2,), (2,), (2,)], (6,)),
        (side_by_side(TRANSPOSED), [(2, 3), (2, 3), (2, 3)], (3, 6)),
        (
            side_by_side(TRANSPOSED, sizes=(4, 2, 3)),
            [(4, 5), (2, 5), (3, 5)],
            (5, 9),
        ),
    ],
)
def test_what_is_loaded_is_saved_the_same(rng, transform, shapes, ours):
    published = [rng.normal(size=shape) for shape in shapes]
    [weight] = transform.load(published)
    assert weight.shape == ours
    saved = transform.save([weight])
    for one, other in zip(published, saved, strict=True):
        np.testing.assert_array_equal(one, other)
    # The shapes that are expected are found without the weights.
    rule = Rule(tuple("abc"[: len(shapes)]), "weight", transform)
    [transfer] = match([rule], {"weight": weight})
    assert transfer.published_shapes == shapes


def test_query_key_and_value_stand_in_this_order():
    parts = [np.full((2, 3), i) for i in range(3)]
    [kernel] = side_by_side(TRANSPOSED).load(parts)
    assert kernel[0].tolist() == [0, 0, 1, 1, 2, 2]


def test_a_number_is_the_same_wherever_its_letter_stands():
    rule = Rule("{i}.{j}.weight", "stage_{i}/block_{j}/stage_{i}/kernel")
    assert rule.numbers_in("stage_1/block_12/stage_1/kernel") == {"i": "1", "j": "12"}
    assert rule.numbers_in("stage_1/block_12/stage_2/kernel") is None
    assert rule.published_names({"i": "1", "j": "12"}) == ["1.12.weight"]


def test_one_published_tensor_can_hold_several_weights():
    """As a projection to query, key and value that read two sequences."""
    halves = each(lambda x: x, lambda x: x)
    halves = type(halves)(
        lambda arrays: np.split(arrays[0], 2, axis=0),
        lambda arrays: [np.concatenate(arrays, axis=0)],
    )
    rule = Rule("both", ("block/one", "block/two"), halves)
    weights = {"block/two": np.ones((1, 3)), "block/one": np.zeros((1, 3))}
    [transfer] = match([rule], weights)
    assert list(transfer.weights) == ["block/one", "block/two"]
    assert transfer.published_shapes == [(2, 3)]


@pytest.mark.parametrize("count", [0, 2])
def test_a_weight_without_one_rule_is_told(count):
    rules = [Rule("weight", "norm/gamma")] * count
    sentence = f"norm/gamma has {count} rules, expected one"
    with pytest.raises(ValueError, match=sentence):
        match(rules, {"norm/gamma": np.ones(3)})


def test_the_first_of_several_published_values_is_written():
    field = Field("hidden_act", "activation", "gelu", ACTIVATIONS)
    assert field.read({"hidden_act": "swish"}, "config.json") == "silu"
    assert field.write("silu") == "silu"
    with pytest.raises(ValueError, match="activation='swiglu' cannot be written as a"):
        field.write("swiglu")


def test_a_required_field_that_is_missing_is_told():
    family = Family(
        model_type="tiny",
        architectures={"Tiny": {}},
        fields=(Field("hidden_size", "hidden_dim"),),
        rules=(),
    )
    with pytest.raises(ValueError, match="lacks the field `hidden_size`"):
        family.read_arguments({"model_type": "tiny"}, "config.json")


def test_labels_come_back():
    arguments = {"num_classes": 3, "class_names": ["a", "b", "c"]}
    assert read_labels(write_labels(arguments)) == arguments
    arguments = {"num_classes": 11, "class_names": None}
    assert read_labels(write_labels(arguments)) == arguments
    assert read_labels({})["num_classes"] == 2
    assert read_labels({"num_labels": 7})["num_classes"] == 7


def test_classes_are_counted():
    assert count_classes(None, None) == 2
    assert count_classes(None, None, by_default=1) == 1
    assert count_classes(None, ["a", "b", "c"]) == 3
    with pytest.raises(ValueError, match="must be a positive integer"):
        count_classes(0, None)
    with pytest.raises(ValueError, match="num_classes=3, 2 names"):
        count_classes(3, ["a", "b"])

"""What is forecast of a model's memory is what its arrays take."""

import keras
import pytest

from helpers import BACKEND
from keras_attention.applications import BERT
from keras_attention.applications import GPT2
from keras_attention.applications import ViT
from keras_attention.backend.without_values import built_without_values
from keras_attention.training import forecast_memory

LAYERS, WIDTH, LENGTH = 3, 8, 10
TINY = {
    "vocabulary_size": 50,
    "max_length": LENGTH,
    "hidden_dim": WIDTH,
    "num_layers": LAYERS,
    "num_heads": 2,
}
SAYS_STEPS = BACKEND != "tensorflow"


def make_gpt2(**options):
    return lambda: GPT2(**{**TINY, **options})


def test_all_that_is_counted():
    model = GPT2(**TINY)
    forecast = forecast_memory(make_gpt2(), batch_size=5)
    numbers = sum(v.numpy().nbytes for v in model.trainable_variables)
    assert forecast.num_parameters == model.count_params()
    assert forecast.weights == forecast.gradients == numbers
    assert 2 * numbers < forecast.optimizer < 2 * numbers + 100  # and the step
    assert forecast.cache == 2 * LAYERS * 5 * LENGTH * WIDTH * 4
    assert forecast.writing == forecast.weights + forecast.cache
    assert forecast_memory(make_gpt2(), optimizer="sgd").optimizer < 100


def test_half_precision_takes_half():
    whole = forecast_memory(make_gpt2(), length=7)
    keras.config.set_dtype_policy("bfloat16")
    half = forecast_memory(make_gpt2(), length=7)
    assert half.gradients == whole.gradients // 2
    assert half.cache == whole.cache // 2
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = forecast_memory(make_gpt2(), length=7)
    assert mixed.gradients == whole.gradients
    assert mixed.cache == whole.cache // 2


def test_devices_share_all_but_the_layer_that_runs():
    alone, shared = (forecast_memory(make_gpt2(), devices=n) for n in (1, 4))
    assert shared.gradients == -(-alone.gradients // 4)
    assert shared.optimizer == -(-alone.optimizer // 4)
    assert alone.gathered == 0
    block = GPT2(**TINY).decoder.blocks[0]
    assert shared.gathered == 4 * block.count_params()


@pytest.mark.compiles_much
@pytest.mark.skipif(not SAYS_STEPS, reason="TensorFlow cannot say it")
def test_activations_grow_with_the_batch_and_are_fewer_when_computed_again():
    sizes = {"hidden_dim": 32, "num_layers": 6, "max_length": 64}
    make = make_gpt2(**sizes)
    two, four, eight = (
        forecast_memory(make, batch_size=n).activations for n in (2, 4, 8)
    )
    assert eight - four == pytest.approx(2 * (four - two), rel=0.1)
    assert forecast_memory(make, batch_size=8, remat=True).activations < 0.6 * eight
    # At least what each block must keep: its input and the 4 D inside, before and
    # behind the activation.
    assert eight > 6 * 8 * 64 * 32 * (1 + 4) * 4


@pytest.mark.skipif(SAYS_STEPS, reason="says it")
def test_where_a_backend_cannot_say_it_the_table_says_so():
    forecast = forecast_memory(make_gpt2())
    assert forecast.activations is None
    assert "not known" in str(forecast)


@pytest.mark.parametrize(
    "make",
    [
        lambda: BERT(**TINY, mlp_dim=16, head="classification", num_classes=3),
        lambda: ViT(
            image_size=(8, 12), patch_size=4, hidden_dim=8, num_heads=2, mlp_dim=16
        ),
    ],
    ids=["BERT", "ViT"],
)
def test_what_does_not_write_has_no_cache(make):
    forecast = forecast_memory(make, batch_size=2)
    assert forecast.cache is forecast.writing is None
    assert "cache" not in str(forecast)


@pytest.mark.once
def test_the_largest_of_all_is_counted_where_it_does_not_fit():
    model = built_without_values(lambda: GPT2.from_preset("gpt3_175b"))
    assert model.count_params() == GPT2.presets_table["gpt3_175b"]["parameters"]


@pytest.mark.once
def test_errors_of_building_are_those_of_the_model():
    with pytest.raises(ValueError, match="num_heads"):
        forecast_memory(make_gpt2(num_heads=3))
    with pytest.raises(ValueError, match="takes at most 10 tokens"):
        forecast_memory(make_gpt2(), length=11)
    with pytest.raises(ValueError, match="batch_size"):
        forecast_memory(make_gpt2(), batch_size=0)


@pytest.mark.once
def test_models_built_later_have_values():
    """Variables that wait for values are those of one thread."""
    built_without_values(make_gpt2())
    model = GPT2(**TINY)
    assert all(v.numpy().shape == v.shape for v in model.variables)

"""The scripts that compare networks run, on pictures that are drawn here."""

import json
import types

import keras
import numpy as np
import pytest

from helpers import load_script
from helpers import ROOT
from keras_attention.applications import ResNet
from keras_attention.applications import Swin
from keras_attention.applications import ViT

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def tutorials(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tutorials")


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A package of twelve images of each digit, each with a row of its own."""
    root = tmp_path_factory.mktemp("mnist")
    folder = root / "src" / "digits"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for digit in range(10):
        images = rng.random((12, 28, 28)) / 4
        images[:, 2 * digit + 3] = 1.0
        data = images.round(3).ravel().tolist()
        (folder / f"{digit}.json").write_text(json.dumps({"data": data}))
    return root


@pytest.mark.parametrize("name", ["ResNet", "ConvNeXt", "ViT", "hybrid", "Swin"])
def test_the_contenders_are_equally_large(name):
    script = load_script("convolution_or_attention")
    model = script.build(name, (28, 28, 1), 10)
    assert 100_000 < model.count_params() < 170_000


@pytest.mark.slow
def test_a_table_is_printed(mnist, capsys):
    script = load_script("convolution_or_attention")
    script.TRANSFORMER.update(hidden_dim=8, num_layers=1)
    arguments = [str(mnist), "--quick", "--models", "DeiT", "ViT, shifted"]
    found = script.main(arguments)["MNIST"]
    assert {name for name, _ in found} == {"DeiT", "ViT, shifted"}
    assert all(0 <= share <= 1 for shares in found.values() for share in shares)
    printed = capsys.readouterr().out
    assert "96 to learn from, 24 held out" in printed
    assert "MFLOP" in printed and "DeiT" in printed


def test_few_labels_have_one_of_each_class():
    script = load_script("convolution_or_attention")
    labels = np.repeat(np.arange(10), 30)
    images, kept = script.keep_share(np.arange(300), labels, 0.01, seed=1)
    assert sorted(kept) == list(range(10))
    np.testing.assert_array_equal(labels[images], kept)
    assert len(script.keep_share(np.arange(300), labels, 0.5, seed=1)[0]) == 150


def test_shifted_images_move_by_two_pixels_at_most():
    script = load_script("convolution_or_attention")
    images = np.zeros((50, 9, 9, 1), "float32")
    images[:, 4, 4] = 1.0
    moved = script.shifted(images, np.random.default_rng(0))
    places = np.argwhere(moved[..., 0])[:, 1:]
    assert len(places) == 50 and np.abs(places - 4).max() == 2


def test_groups_of_emoji_are_read_without_skin_tones(tmp_path):
    script = load_script("convolution_or_attention")
    groups = {"\u2708\ufe0f": "Travel", "\U0001f600": "Smileys", "\U0001f44b": "People"}
    table = {emoji: {"group": group} for emoji, group in groups.items()}
    (tmp_path / "data-by-emoji.json").write_text(json.dumps(table))
    names = ["1F44B-1F3FB", "1F600", "2708", "1F9FF"]
    pictures = np.full((4, 2, 2, 3), 255, "uint8")
    given = types.SimpleNamespace(names=names, images=pictures)
    images, labels, found = script.read_groups(tmp_path, images=given)
    assert found == ["Smileys", "Travel"]
    assert labels.tolist() == [0, 1]
    assert images.shape == (2, 2, 2, 3) and (images == 1).all()


@pytest.mark.slow
def test_how_far_networks_see_is_measured_and_drawn(tmp_path):
    script = load_script("how_far_networks_see")
    sizes = {"image_size": 16, "num_channels": 1, "num_classes": 2}
    models = {
        "ViT": ViT(
            patch_size=4, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=8, **sizes
        ),
        "Swin": Swin(
            patch_size=2,
            hidden_dim=8,
            num_layers=(2, 1),
            num_heads=(2, 2),
            mlp_dim=8,
            window_size=4,
            **sizes,
        ),
        "ResNet": ResNet(
            stem_dim=4, hidden_dims=(4,), num_layers=(2,), kind="basic", **sizes
        ),
    }
    images = np.random.default_rng(0).random((2, 16, 16, 1), "float32")
    results = {name: script.measure(model, images) for name, model in models.items()}
    shapes = {
        name: (len(fields), [len(heads) for heads in distances.values()])
        for name, (fields, distances) in results.items()
    }
    assert shapes == {"ViT": (2, [2, 2]), "Swin": (3, [2, 2, 2]), "ResNet": (2, [])}
    first = list(results["Swin"][1].values())[0]  # in windows of 8 x 8 pixels
    assert 0 < first.min() and first.max() < np.hypot(6, 6)
    for name, result in results.items():
        script.tell(name, *result)
    pytest.importorskip("matplotlib")
    script.draw(results, tmp_path / "far.png")
    assert (tmp_path / "far.png").stat().st_size > 1000


def test_generated_digits_are_drawn_and_counted():
    script = load_script("sagan_on_digits")
    images = np.zeros((6, 28, 28, 1), "float32")
    assert script.sheet(images, 3).shape == (56, 84, 3)

    class Classifier:
        def predict(self, images, **options):
            return np.eye(10)[[1, 2, 3, 3, 3, 3]]

    found = script.recognized(Classifier(), images, np.array([1, 2, 3, 4, 5, 3]))
    assert found.tolist() == [True, True, True, False, False, True]
    keras.utils.set_random_seed(0)
    view = script.draw_attention(script.build(8), digit=4)
    assert repr(view) == "<View 'Scores of 4 × 4 patches'>"

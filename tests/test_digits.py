"""The digits are read from the packages as they are published, and learned."""

import gzip
import json

import numpy as np
import pytest

from helpers import load_script

pytestmark = pytest.mark.once


def test_the_table_of_scikit_learn_is_read(tmp_path):
    rows = [[0] * 63 + [16, 7], [8] * 64 + [0]]
    with gzip.open(tmp_path / "digits.csv.gz", "wt") as file:
        for row in rows:
            file.write(",".join(map(str, row)) + "\n")
    images, digits = load_script("digits").read_table(tmp_path / "digits.csv.gz")
    assert images.shape == (2, 8, 8, 1)
    assert images[0, 7, 7, 0] == 1 and images[0, 0, 0, 0] == -1
    assert (images[1] == 0).all()
    assert digits.tolist() == [7, 0]


def test_the_package_mnist_is_read(tmp_path):
    folder = tmp_path / "src" / "digits"
    folder.mkdir(parents=True)
    for digit in range(10):
        count = 2 if digit == 3 else 1
        data = ([0.0] * 783 + [1.0]) * count
        (folder / f"{digit}.json").write_text(json.dumps({"data": data}))
    images, digits = load_script("digits").read_mnist(tmp_path)
    assert images.shape == (11, 28, 28, 1)
    assert digits.tolist() == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    assert (images[:, 27, 27, 0] == 1).all() and (images[:, 0] == -1).all()


def test_each_image_is_either_learned_or_held_out():
    script = load_script("digits")
    images, digits = np.arange(10.0), np.arange(10)
    training, testing = script.split_digits(images, digits, held_out=0.3)
    assert (len(training[0]), len(testing[0])) == (7, 3)
    assert sorted([*training[1], *testing[1]]) == list(range(10))
    for images, digits in (training, testing):
        np.testing.assert_array_equal(images, digits)
    again = script.split_digits(np.arange(10.0), np.arange(10), held_out=0.3)
    np.testing.assert_array_equal(again[1][0], testing[0])


def test_the_two_models_are_equally_large():
    script = load_script("digits")
    for size in (8, 28):
        vit, convnet = script.build_vit(size), script.build_convnet(size)
        assert vit.output_shape == convnet.output_shape == (None, 10)
        ratio = vit.count_params() / convnet.count_params()
        assert 0.9 < ratio < 1.1

"""`python -m keras_attention memory` prints what a model takes, or what is wrong."""

import pytest

from keras_attention.__main__ import main
from keras_attention.applications import GPT2
from keras_attention.training import forecast_memory

pytestmark = pytest.mark.once
TINY = {
    "vocabulary_size": 50,
    "max_length": 10,
    "hidden_dim": 8,
    "num_layers": 2,
    "num_heads": 2,
}


@pytest.fixture
def folder(tmp_path):
    GPT2(**TINY).save_to_preset(tmp_path / "model")
    return str(tmp_path / "model")


def test_the_table_is_that_of_the_forecast(folder, capsys):
    options = ["--batch", "3", "--length", "7", "--devices", "2", "--optimizer", "sgd"]
    main(["memory", folder, *options])
    forecast = forecast_memory(
        lambda: GPT2(**TINY), batch_size=3, length=7, devices=2, optimizer="sgd"
    )
    assert str(forecast) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--length", "11"], "takes at most 10 tokens. Received: length=11"),
        (["--dtype", "bfloat17"], "bfloat17"),
        (["--optimizer", "adem"], "adem"),
        (["--batch", "0"], "'0' is no whole number from 1"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(folder, capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        main(["memory", folder, *options])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1

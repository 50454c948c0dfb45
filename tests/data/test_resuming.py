"""Training that was killed and begun anew ends where it would have ended."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.applications import GPT2
from keras_attention.data import FollowEpochs
from keras_attention.data import LanguageModelDataset
from keras_attention.tokenizers import train_byte_pairs
from keras_attention.training import TokenCrossentropy

pytest.importorskip("tokenizers")

EPOCHS = 4


class Kill(keras.callbacks.Callback):
    """Ends the process, as far as a test can, in the middle of the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2:
            raise KeyboardInterrupt


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be, that is the question: " * 7)
    return path


def start(text, folder):
    """Model, data and callbacks as a new process makes them: dropout and all."""
    keras.utils.set_random_seed(7)
    tokenizer = train_byte_pairs(text, vocabulary_size=260)
    model = GPT2(
        vocabulary_size=260,
        max_length=16,
        hidden_dim=8,
        num_layers=1,
        num_heads=2,
        end_id=0,
        seed=1,
    )
    rate = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=9)
    model.compile(keras.optimizers.Adam(rate), TokenCrossentropy(padding_id=None))
    dataset = LanguageModelDataset(
        text, tokenizer, 16, 4, num_parts=2, seed=3, cache=folder / "cache"
    )
    assert len(dataset) == 2
    backup = keras.callbacks.BackupAndRestore(folder / "backup", double_checkpoint=True)
    return model, dataset, [backup, FollowEpochs(dataset)]


@pytest.mark.compiles_much
def test_training_goes_on_where_it_was(text, tmp_path):
    def fit(*more):
        model, dataset, callbacks = start(text, tmp_path)
        return model.fit(
            dataset,
            epochs=EPOCHS,
            shuffle=False,  # the data set shuffles
            callbacks=[*callbacks, *more],
            verbose=0,
        )

    whole = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(Kill())
    resumed = fit()
    assert resumed.epoch == [2, 3]
    assert resumed.history["loss"] == whole.history["loss"][2:]
    for ours, expected in zip(resumed.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(expected))

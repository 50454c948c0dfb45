"""`python -m keras_attention memory`: what a preset takes to train and to write."""

import keras

from keras_attention.applications import from_preset
from keras_attention.training.memory import forecast_memory


def main(options, parser):
    """Prints the memory that a preset takes on each device.

    Args:
        options: What the parser of `keras_attention.__main__` read.
        parser: That parser, for messages.
    """
    try:
        keras.config.set_dtype_policy(options.dtype)
        forecast = forecast_memory(
            lambda: from_preset(options.preset, load_weights=False),
            batch_size=options.batch,
            length=options.length,
            devices=options.devices,
            optimizer=options.optimizer,
            remat=options.remat,
        )
    except (ValueError, OSError, ImportError) as error:
        parser.error(str(error))
    print(f"{options.preset}, {options.dtype}, {options.batch} a device: {forecast}")

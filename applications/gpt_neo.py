"""GPT-Neo: GPT-3's alternation of global and local attention, with published weights.

Black et al. 2021, doi.org/10.5281/zenodo.5297715. Its code: github.com/EleutherAI/
gpt-neo.
"""

import keras

from keras_attention.applications.gpt2 import GPTFigure
from keras_attention.checkpoints.families.gpt_neo import GPT_NEO_FAMILY


@keras.saving.register_keras_serializable("keras_attention")
class GPTNeo(GPTFigure):
    """Predicts the token after each token, as GPT-2 does; every second block reads few.

    Its scores are not divided by the root of the width of a head, and the projections
    to query, key and value have no biases. Of the blocks every second one reads only
    the last 256 tokens. It reads and writes the checkpoints of the library
    transformers:

        model = GPTNeo.from_preset("hf://EleutherAI/gpt-neo-125m")
        model.generate("Attention is", max_new_tokens=20)

    It has the arguments of `GPT2`.

    Example:

    >>> model = GPTNeo(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2,
    ...     windows=[None, 2],
    ... )
    >>> inputs = {"token_ids": np.array([[5, 7, 2]]), "padding_mask": np.ones((1, 3))}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3, 20)
    """

    presets_table = {
        f"gpt_neo_{size}": {
            "description": f"{layers} blocks of width {width}.",
            "parameters": parameters,
            "num_layers": layers,
            "hidden_dim": width,
            "num_heads": heads,
        }
        for size, layers, width, heads, parameters in (
            ("125m", 12, 768, 12, 125_198_592),
            ("1.3b", 24, 2048, 16, 1_315_575_808),
            ("2.7b", 32, 2560, 20, 2_651_307_520),
        )
    }
    defaults = {
        "max_length": 2048,
        "hidden_dim": 2048,
        "num_layers": 24,
        "num_heads": 16,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "embedding_dropout": 0.0,
        "unscaled_attention": True,
        "use_attention_bias": False,
        "windows": [None, 256],
    }
    families = (GPT_NEO_FAMILY,)

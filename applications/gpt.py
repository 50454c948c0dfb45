"""GPT, the first: a Transformer's decoder that is pretrained, then tuned to a task.

Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training". Its
code: github.com/openai/finetune-transformer-lm.
"""

import keras

from keras_attention.applications.gpt2 import GPTFigure
from keras_attention.checkpoints.families.gpt import GPT_FAMILY


@keras.saving.register_keras_serializable("keras_attention")
class GPT(GPTFigure):
    """Predicts the token after each token, as GPT-2 does, with the norms behind.

    Radford et al. 2018, Equation 2 and Section 4.1:

        x = embedding(token_ids) + positions                        (B, T, D)
        x = norm(x + self_attention(x)), 12 times                   (B, T, D)
        x = norm(x + feed_forward(x))
        logits = x embedding^T                                      (B, T, V)

    It reads and writes the checkpoints of the library transformers:

        model = GPT.from_preset("hf://openai-community/openai-gpt")
        model.generate("attention is", max_new_tokens=20)

    It has the arguments of `GPT2`.

    Example:

    >>> model = GPT(vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2)
    >>> inputs = {"token_ids": np.array([[5, 7, 2]]), "padding_mask": np.ones((1, 3))}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3, 20)
    """

    # Section 4.1.
    presets_table = {
        "openai_gpt": {
            "description": "12 blocks of width 768.",
            "parameters": 116_534_784,
        },
    }
    norm_order = "post"
    defaults = {"vocabulary_size": 40478, "max_length": 512, "end_id": None}
    families = (GPT_FAMILY,)

"""The first GPT as the library transformers publishes it."""

import dataclasses

from keras_attention.checkpoints.families.gpt2 import GPT2_FAMILY
from keras_attention.checkpoints.fields import Field

# In these files "gelu" is the approximation by a tanh.
ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}
# What only GPT-2 has, and fields by other names.
OTHERS = (
    "n_inner",
    "activation_function",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
    "add_cross_attention",
    "vocab_size",
    "n_positions",
    "eos_token_id",
)

BASE = GPT2_FAMILY.like(
    model_type="openai-gpt",
    renamed={
        "transformer.wte": "transformer.tokens_embed",
        "transformer.wpe": "transformer.positions_embed",
        "wte.weight": "tokens_embed.weight",
    },
    classes=("GPT2", "OpenAIGPT"),
)
GPT_FAMILY = dataclasses.replace(
    BASE,
    fields=(
        Field("vocab_size", "vocabulary_size", 40478),
        Field("n_positions", "max_length", 512),
        Field("afn", "activation", "gelu", ACTIVATIONS),
        Field("eos_token_id", "end_id", None),
        *(field for field in BASE.fields if field.name not in OTHERS),
    ),
)

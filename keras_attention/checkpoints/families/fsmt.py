"""Translation models of fairseq as the library transformers publishes them (FSMT)."""

import numpy as np

from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.families.marian import ALWAYS
from keras_attention.checkpoints.families.marian import decoder_fields
from keras_attention.checkpoints.families.marian import FIXED
from keras_attention.checkpoints.families.marian import IGNORED
from keras_attention.checkpoints.families.marian import sized_fields
from keras_attention.checkpoints.families.marian import stack_rules
from keras_attention.checkpoints.families.marian import tables_of_positions
from keras_attention.checkpoints.families.marian import TARGETS
from keras_attention.checkpoints.families.marian import token_rules
from keras_attention.checkpoints.families.marian import vocabulary_sizes
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import TRANSPOSED


def rules(arguments):
    """The table; where all is tied, the table of the targets serves for all."""
    return (
        *token_rules(arguments, "model.decoder.embed_tokens.weight"),
        *stack_rules("encoder"),
        *stack_rules("decoder"),
        Rule(
            "model.decoder.output_projection.weight",
            "output/kernel",
            TRANSPOSED,
            sized_by=TARGETS,
        ),
    )


def sinusoids(shape, arguments):
    """The table of positions, as tensor2tensor and fairseq make it.

    Wave lengths end at 10000; row 0 is for what has no position, that of padding is
    zero.
    """
    length, width = shape
    half = width // 2
    frequencies = np.exp(np.arange(half) * -(np.log(10000.0) / (half - 1)))
    angles = np.arange(length)[:, None] * frequencies
    table = np.zeros(shape)
    table[:, : 2 * half] = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    table[arguments["padding_id"]] = 0.0
    return table


def harmless(arguments):
    """Tables of positions, and copies of tied weights.

    The tables are parameters there, which fine-tuning moves: such a file is refused.
    """
    found = tables_of_positions(sinusoids)
    target = "model.decoder.embed_tokens.weight"
    if arguments["share_embeddings"]:
        found["model.encoder.embed_tokens.weight"] = Copy(target)
    if arguments["tie_output"]:
        found["model.decoder.output_projection.weight"] = Copy(target)
    return found


def read(config):
    is_tied = config.get("tie_word_embeddings", False)
    return {
        **ALWAYS,
        "positions": "fairseq",
        "use_output_bias": False,
        "share_embeddings": is_tied,
        "tie_output": is_tied,
        # Transformers lets it write padding, which a trained model never does.
        "forbidden_ids": [config.get("pad_token_id", 1)],
    }


def write(arguments):
    sizes = vocabulary_sizes(arguments)
    return {
        **decoder_fields(arguments),
        "src_vocab_size": sizes[0],
        "tgt_vocab_size": sizes[1],
        "tie_word_embeddings": arguments["tie_output"],
        "forced_eos_token_id": arguments["end_id"],
        "is_encoder_decoder": True,
    }


FSMT_FAMILY = Family(
    model_type="fsmt",
    architectures={"FSMTForConditionalGeneration": {}},
    fields=(
        Field("src_vocab_size", "source_vocabulary_size", 42024),
        Field("tgt_vocab_size", "target_vocabulary_size", 42024),
        *sized_fields(12, "relu", True, 1, 2, 2),
    ),
    rules=rules,
    fixed=FIXED,
    # The languages are for the tokenizer; `decoder` repeats other fields.
    ignored=(*IGNORED, "tie_word_embeddings", "langs", "decoder"),
    harmless=harmless,
    read=read,
    write=write,
)

"""An encoder of pictures with a decoder of texts, as transformers publishes them."""

from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.parts import FamilyOfParts
from keras_attention.checkpoints.parts import Part

ENCODER = {"num_classes": None, "class_names": None, "use_pooler": False}
DECODER = {"head": "next_token", "use_cross_attention": True}


def read(config):
    """The ids that a file says of the whole, or of its decoder."""
    found = {}
    for field, name in (("eos_token_id", "end_id"), ("pad_token_id", "padding_id")):
        inner = config["decoder"].get(field)
        found[name] = inner if config.get(field) is None else config[field]
    return found


def write(arguments):
    fields = {"end_id": "eos_token_id", "padding_id": "pad_token_id"}
    found = {field: arguments[name] for name, field in fields.items()}
    return {**found, "is_encoder_decoder": True, "tie_word_embeddings": False}


def vision_encoder_decoder(encoders, decoders):
    """The family of what joins one of these encoders with one of these decoders.

    Args:
        encoders: Dict from classes of models to their `Family`.
        decoders: Likewise.

    Returns:
        A `FamilyOfParts`.
    """
    return FamilyOfParts(
        model_type="vision-encoder-decoder",
        architectures={"VisionEncoderDecoderModel": {}},
        fields=(Field("decoder_start_token_id", "start_id", None),),
        rules=linear("enc_to_dec_proj", "encoder_projection/"),
        # What the parts say of their tables counts.
        ignored=("tie_word_embeddings",),
        beside=("max_length",),
        read=read,
        write=write,
        parts={
            "encoder": Part(encoders, ENCODER, {"is_decoder": False}),
            "decoder": Part(decoders, DECODER, {"is_decoder": True}),
        },
    )

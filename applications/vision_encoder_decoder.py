"""An encoder of pictures and a decoder of texts that were trained apart, joined.

Li et al. 2023, arXiv:2109.10282 (TrOCR), Section 2; Rothe et al. 2020,
arXiv:1907.12461, join encoders and decoders of texts in this way.

Letters: B pictures, S tokens of the encoder, T tokens of a caption, D width of a token
of the decoder, V vocabulary.
"""

import keras
import numpy as np
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.applications.gpt2 import GPT2
from keras_attention.applications.vit import ViT
from keras_attention.checkpoints.families.gpt2 import GPT2_FAMILY
from keras_attention.checkpoints.families.vision_encoder_decoder import (
    vision_encoder_decoder,
)
from keras_attention.checkpoints.families.vit import VIT_FAMILY
from keras_attention.checkpoints.parts import Plan
from keras_attention.generation.captioner import Captioner
from keras_attention.generation.captioner import pictures_of
from keras_attention.generation.steps import CachedSteps
from keras_attention.tasks.caption_inputs import CaptionInputs


@keras.saving.register_keras_serializable("keras_attention")
class VisionEncoderDecoder(CaptionInputs, Captioner, Application):
    """Describes a picture without any convolution: a ViT reads, a GPT-2 writes.

        x = encoder(images)                                         (B, S, De)
        x = x W + b, where De is not D                              (B, S, D)
        logits = decoder(token_ids), whose blocks read x            (B, T, V)

    Both may have been trained before, each on its own; what lets the decoder read is
    new then, and learned from pictures with captions:

        encoder = ViT.from_preset(
            "hf://google/vit-base-patch16-224-in21k", num_classes=None
        )
        decoder = GPT2.from_preset(
            "hf://openai-community/gpt2", use_cross_attention=True
        )
        model = VisionEncoderDecoder(encoder=encoder, decoder=decoder)

    It reads and writes the checkpoints of the library transformers:

        model = VisionEncoderDecoder.from_preset(
            "hf://nlpconnect/vit-gpt2-image-captioning"
        )
        model.caption(["beach.jpg", "kitchen.jpg"])

    Args:
        encoder: A `ViT` without classes.
        decoder: A `GPT2` with `use_cross_attention=True`.
        tokenizer: What turns token ids into texts. Defaults to that of the decoder.
        image_processor: What makes inputs of pictures. Defaults to that of the encoder.
        start_id: Token id that precedes a caption. Defaults to the end of the decoder.
        end_id: Token id that ends a caption. Defaults to that of the decoder.
        padding_id: Token id that follows the end. Defaults to that of the decoder.
        max_length: Most tokens of a caption that `caption` writes.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `images`, `(B, height, width, 3)`, as the encoder takes them,
            and `token_ids`, integers `(B, T)`, the start and the tokens of captions.

    Returns:
        Logits `(B, T, V)` of the token after each token.

    Raises:
        ValueError: The encoder gives no tokens, or the decoder reads none; no token
            ends a caption, or several do.

    Example:

    >>> from keras_attention.applications import GPT2, ViT
    >>> sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
    >>> encoder = ViT(image_size=8, patch_size=4, num_classes=None, **sizes)
    >>> decoder = GPT2(
    ...     vocabulary_size=9, end_id=1, use_cross_attention=True, **sizes
    ... )
    >>> model = VisionEncoderDecoder(encoder=encoder, decoder=decoder)
    >>> model.caption(np.zeros((8, 8, 3), "uint8"), max_length=4).shape[0]
    1
    """

    presets_table = {
        "vit_gpt2_captioner": {
            "description": "ViT-B/16 and GPT-2 small, as nlpconnect joined them.",
            "parameters": 239_195_904,
            "encoder": Plan(ViT, {"num_classes": None, "epsilon": 1e-12}),
            "decoder": Plan(GPT2, {"use_cross_attention": True}),
            "max_length": 15,
        },
    }
    parts = ("encoder", "decoder")
    assets = ("tokenizer", "image_processor")
    families = (vision_encoder_decoder({ViT: VIT_FAMILY}, {GPT2: GPT2_FAMILY}),)
    forbidden_ids = ()
    # Its words are those of its tokenizer, whose files are kept as all assets are.
    save_assets = Application.save_assets
    load_assets = Application.load_assets

    def __init__(
        self,
        *,
        encoder,
        decoder,
        tokenizer=None,
        image_processor=None,
        start_id=None,
        end_id=None,
        padding_id=None,
        max_length=20,
        name=None,
    ):
        _check_encoder(encoder)
        _check_decoder(decoder)
        images = keras.Input(encoder.input_shape[1:], name="images")
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        x = encoder(images)["tokens"]  # (B, S, De)
        projection = None
        if encoder.hidden_dim != decoder.hidden_dim:
            projection = keras.layers.Dense(
                decoder.hidden_dim, name="encoder_projection"
            )
            x = projection(x)  # (B, S, D)
        logits = decoder(
            {
                "token_ids": token_ids,
                "padding_mask": ops.ones_like(token_ids, "bool"),
                "encoder_outputs": x,
            }
        )  # (B, T, V)
        inputs = {"images": images, "token_ids": token_ids}
        super().__init__(inputs, logits, name=name)

        self.encoder, self.decoder = encoder, decoder
        self.encoder_projection = projection
        self.vocabulary_size = decoder.vocabulary_size
        self.tokenizer = tokenizer or decoder.tokenizer
        processor = image_processor or encoder.image_processor
        self.image_processor = processor.fitted_to(encoder.image_size)
        self.end_id = _only_end(decoder.end_id if end_id is None else end_id)
        self.start_id = self.end_id if start_id is None else start_id
        self.padding_id = decoder.padding_id if padding_id is None else padding_id
        self.max_length = max_length

    @property
    def longest_input(self):
        """Most tokens of a caption that is learned: the positions of the decoder."""
        return self.decoder.max_length

    @property
    def vocabulary(self):
        """What decodes captions, or `None`."""
        return self.tokenizer

    @property
    def grid(self):
        """The axes of what is looked at: `(S,)`, the tokens of the encoder."""
        return tuple(self.encoder.output["tokens"].shape[1:2])

    def read_images(self, images):
        """Pictures as the encoder takes them.

        Args:
            images: As for `caption`. Floats `(B, height, width, 3)` are taken as they
                are.

        Returns:
            float32 array `(B, height, width, 3)`.
        """
        if isinstance(images, np.ndarray) and images.ndim == 4:
            if images.dtype.kind == "f":
                return images
        return self.image_processor.load(pictures_of(images))

    def make_steps(self):
        """How this model begins and goes on: see `CachedSteps`."""
        decoder = self.decoder
        return CachedSteps(
            decoder.decoder, decoder.embed, decoder.predict_logits, self._read_source
        )

    def _read_source(self, images):
        """What cross-attention reads of pictures."""
        x = self.encoder(images, training=False)["tokens"]  # (B, S, De)
        if self.encoder_projection is not None:
            x = self.encoder_projection(x)  # (B, S, D)
        return {"encoded": self.decoder.decoder.read_encoder(x)}


def _check_encoder(encoder):
    outputs = getattr(encoder, "output", None)
    if not isinstance(outputs, dict) or "tokens" not in outputs:
        raise ValueError(
            "`encoder` must be a model from pictures to a dict with `tokens`, such as "
            f"ViT(num_classes=None). Received: {_told(encoder)}, output={outputs}"
        )


def _check_decoder(decoder):
    if not getattr(decoder, "use_cross_attention", False):
        raise ValueError(
            "`decoder` must be a model that reads an encoder, such as "
            f"GPT2(use_cross_attention=True). Received: {_told(decoder)}"
        )
    if decoder.head != "next_token":
        raise ValueError(
            '`decoder` must write: it needs head="next_token". Received: '
            f"{_told(decoder)}, head={decoder.head!r}"
        )


def _only_end(end_id):
    """The token that ends a caption, where a decoder may know several or none."""
    ends = end_id if isinstance(end_id, list) else [end_id]
    if len(ends) != 1 or ends[0] is None:
        raise ValueError(
            "A caption ends with one token. The decoder, or the caller, gave end_id="
            f"{end_id}. Pass one as `end_id`."
        )
    return ends[0]


def _told(model):
    return type(model).__name__

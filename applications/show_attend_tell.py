"""Show, Attend and Tell: captions whose every word looks at a place of the picture.

Xu et al. 2015, arXiv:1502.03044, with soft attention. Their code, in Theano:
github.com/kelvinxu/arctic-captions.

Letters: B pictures, T tokens, V vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.generation.captioner import Captioner
from keras_attention.generation.sentences import sized_vocabulary
from keras_attention.layers.attention_caption_decoder import AttentionCaptionDecoder
from keras_attention.layers.grid_encoder import grid_encoder
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.tasks.caption_inputs import CaptionInputs


@keras.saving.register_keras_serializable("keras_attention")
class ShowAttendTell(CaptionInputs, Captioner, Application):
    """Describes a picture, and looks at another place of it for each word.

    A convolutional network turns the picture into a grid of features; an LSTM writes
    the caption, reading the grid through additive attention before each word. The
    equations stand with `keras_attention.layers.AttentionCaptionDecoder`.

    It is trained on captions that are given, each word predicted from the picture and
    the true words before it:

        token_ids = vocabulary.encode(captions)              # [start] ... [end] [pad]
        model.compile("adam", TokenCrossentropy())
        model.fit(
            {"images": images, "token_ids": token_ids[:, :-1]}, token_ids[:, 1:]
        )
        model.caption(images)

    In training it adds its own loss to that of `compile`: `attention_penalty` times
    Equation 14. The paper's loss is a sum over the words of a caption, that of Keras a
    mean over words, so the same trade-off has a smaller `attention_penalty` here.

    The sizes by default are those of the authors for COCO, except for the encoder:
    they use VGG19 with trained weights that are not changed, which is
    `encoder="VGG19", encoder_layer="block5_conv4", image_size=224,
    encoder_weights="imagenet", train_encoder=False`.

    Args:
        vocabulary: The words that the model writes: a `Vocabulary` or a list of words.
        vocabulary_size: V, for a model without a vocabulary, which reads and writes
            token ids: 0 is padding, 1 the start, 2 the end, 3 an unknown word.
        image_size: Height and width of the pictures in pixels, one integer or two.
        encoder: What turns a picture into a grid of features: `None` for a small
            convolutional network, the name of a model of `keras.applications`, or a
            `keras.Model`. See `keras_attention.layers.grid_encoder`.
        encoder_filters: Widths of the stages of the small network.
        encoder_weights: Weights of a model of `keras.applications`: `"imagenet"`, a
            path, or `None` for random ones.
        encoder_layer: The layer of a named or given encoder whose output is the grid.
            Its last by default.
        train_encoder: Whether the encoder is trained, too.
        hidden_dim: Width of the LSTM.
        word_dim: Width of a word.
        attention_dim: Width of the network that scores the cells of the grid. By
            default that of a cell.
        attention_penalty: Lambda of Equation 14, how much the attention is drawn to
            every cell alike in the course of a caption.
        output_activation: Activation before the last layer; `None` is Equation 7 as it
            is printed.
        dropout: Fraction dropped before the last layers in training, from 0 to 1.
        max_length: Most words of a caption that `caption` writes.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `images`, `(B, height, width, 3)`, values from 0 to 255, and
            `token_ids`, integers `(B, T)`.

    Returns:
        Logits `(B, T, V)` of the token after each token.

    Raises:
        ValueError: An argument is out of its range, or arguments contradict each other.

    Example:

    >>> model = ShowAttendTell(
    ...     vocabulary=["cat", "black"], image_size=16, encoder_filters=(4, 4),
    ...     hidden_dim=8, word_dim=4,
    ... )
    >>> image = np.zeros((16, 16, 3), "uint8")
    >>> captions, weights = model.caption(
    ...     image, max_length=2, return_attention_scores=True
    ... )
    >>> len(captions), weights.shape[2:]
    (1, (2, 2))
    """

    presets_table = {
        # Section 4.3 and evaluate_coco.py of the authors' code.
        "show_attend_tell_coco": {
            "description": "The paper's sizes for COCO: VGG19, 10,000 words.",
            "vocabulary_size": 10000,
            "image_size": 224,
            "encoder": "VGG19",
            "encoder_layer": "block5_conv4",
            "train_encoder": False,
        },
    }

    def __init__(
        self,
        *,
        vocabulary=None,
        vocabulary_size=None,
        image_size=64,
        encoder=None,
        encoder_filters=(96, 192),
        encoder_weights=None,
        encoder_layer=None,
        train_encoder=True,
        hidden_dim=1800,
        word_dim=512,
        attention_dim=None,
        attention_penalty=1.0,
        output_activation="tanh",
        dropout=0.5,
        max_length=20,
        seed=None,
        name=None,
    ):
        vocabulary, vocabulary_size = sized_vocabulary(vocabulary, vocabulary_size)
        encoder = grid_encoder(
            encoder, image_size, encoder_filters, encoder_weights, encoder_layer
        )
        if not train_encoder:
            encoder.trainable = False
        decoder = AttentionCaptionDecoder(
            vocabulary_size,
            hidden_dim,
            word_dim,
            attention_dim=attention_dim,
            attention_penalty=attention_penalty,
            output_activation=output_activation,
            dropout=dropout,
            seed=seed,
            name="decoder",
        )

        images = keras.Input((*image_sides(image_size), 3), name="images")
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        grid = encoder(images)  # (B, rows, columns, D)
        logits = decoder(grid, token_ids)  # (B, T, V)
        inputs = {"images": images, "token_ids": token_ids}
        super().__init__(inputs, logits, name=name)

        self.encoder, self.decoder = encoder, decoder
        self.vocabulary, self.vocabulary_size = vocabulary, vocabulary_size
        self.image_size = image_sides(image_size)
        self.max_length = max_length

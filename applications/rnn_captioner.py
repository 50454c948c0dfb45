"""Captions from a recurrent network without attention.

Vinyals et al. 2015, arXiv:1411.4555 (Show and Tell), is the first of this kind. Here
the picture enters at each step, as in Cho et al. 2014, arXiv:1406.1078, so that
Show, Attend and Tell differs in nothing but its attention.

Letters: B pictures, T tokens, V vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.generation.captioner import Captioner
from keras_attention.generation.sentences import sized_vocabulary
from keras_attention.layers.grid_encoder import grid_encoder
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.layers.rnn_caption_decoder import RNNCaptionDecoder
from keras_attention.tasks.caption_inputs import CaptionInputs


@keras.saving.register_keras_serializable("keras_attention")
class RNNCaptioner(CaptionInputs, Captioner, Application):
    """Describes a picture after a single look at the whole of it.

    The model to compare `ShowAttendTell` with: the same encoder, LSTM and output
    layer, but all that the LSTM learns of the picture is one vector, made from the
    mean of the grid of features. The equations stand with
    `keras_attention.layers.RNNCaptionDecoder`. It is trained and used like
    `ShowAttendTell`.

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
        output_activation: Activation before the last layer.
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

    >>> model = RNNCaptioner(
    ...     vocabulary=["cat", "black"], image_size=16, encoder_filters=(4, 4),
    ...     hidden_dim=8, word_dim=4,
    ... )
    >>> len(model.caption(np.zeros((3, 16, 16, 3), "uint8"), max_length=2))
    3
    """

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
        decoder = RNNCaptionDecoder(
            vocabulary_size,
            hidden_dim,
            word_dim,
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

"""Tiny models that the tests of generation share: `from language_models import ...`."""

import keras
import numpy as np

from keras_attention.applications import Application
from keras_attention.generation import TextGenerator
from keras_attention.layers import TokenAndPositionEmbedding
from keras_attention.layers import TransformerDecoder
from keras_attention.layers import TransformerDecoderBlock

SIZE = 11


class Letters:
    """A tokenizer of the letters a to i, ids 2 to 10; 1 is the end."""

    def encode(self, texts):
        return np.array([[ord(letter) - ord("a") + 2 for letter in t] for t in texts])

    def decode(self, ids):
        return ["".join(chr(ord("a") + i - 2) for i in row) for row in ids]


class TinyGPT(TextGenerator, Application):
    """A decoder-only language model with tied weights."""

    def __init__(
        self,
        *,
        block=None,
        num_layers=2,
        width=16,
        kind="learned",
        position_bias=None,
        with_tokenizer=False,
        end_id=1,
        name=None,
    ):
        block = block or TransformerDecoderBlock(2, 32, use_cross_attention=False)
        embedding = TokenAndPositionEmbedding(
            SIZE,
            width,
            max_length=64,
            kind=kind,
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=3),
        )
        decoder = TransformerDecoder(block, num_layers, position_bias=position_bias)
        token_ids = keras.Input((None,), dtype="int32")
        x = embedding.token_embedding(decoder(embedding(token_ids)), reverse=True)
        super().__init__(token_ids, x, name=name)
        self.embedding, self.decoder = embedding, decoder
        self.tokenizer = Letters() if with_tokenizer else None
        self.vocabulary_size, self.max_length, self.end_id = SIZE, 64, end_id

    def embed(self, token_ids, positions):
        return self.embedding(token_ids, positions=positions)

    def predict_logits(self, x):
        return self.embedding.token_embedding(x, reverse=True)

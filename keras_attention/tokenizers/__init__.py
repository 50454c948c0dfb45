"""Text in and out: from strings to token ids and back."""

from keras_attention.tokenizers.keras_hub import from_keras_hub as from_keras_hub
from keras_attention.tokenizers.loading import load_tokenizer as load_tokenizer
from keras_attention.tokenizers.marian_tokenizer import (
    MarianTokenizer as MarianTokenizer,
)
from keras_attention.tokenizers.published_tokenizer import (
    PublishedTokenizer as PublishedTokenizer,
)
from keras_attention.tokenizers.subwords import SubwordTokenizer as SubwordTokenizer
from keras_attention.tokenizers.tokenizer import Tokenizer as Tokenizer
from keras_attention.tokenizers.tokenizer_training import (
    train_byte_pairs as train_byte_pairs,
)
from keras_attention.tokenizers.tokenizer_training import (
    train_word_pieces as train_word_pieces,
)
from keras_attention.tokenizers.vocabulary import split_words as split_words
from keras_attention.tokenizers.vocabulary import Vocabulary as Vocabulary

"""The letters and the sounds of English, as `data.cmudict` gives them."""

import string

from keras_attention.tokenizers.vocabulary import Vocabulary

# What English is spelled with, one id a letter.
LETTERS = Vocabulary(list(string.ascii_lowercase), split="characters")

# The 39 phonemes of CMUdict without stress, separated by spaces.
PHONEMES = Vocabulary(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T "
    "TH UH UW V W Y Z ZH".split(),
    split="spaces",
)

"""Tokenizers of published kinds from their parts: a vocabulary, and what is joined."""

from keras_attention.tokenizers.kinds import BERT_TOKENS
from keras_attention.tokenizers.kinds import GENERAL
from keras_attention.tokenizers.loading import keep_found
from keras_attention.tokenizers.pipelines import add_tokens
from keras_attention.tokenizers.pipelines import byte_pairs
from keras_attention.tokenizers.pipelines import put_ends
from keras_attention.tokenizers.pipelines import word_pieces
from keras_attention.tokenizers.published_tokenizer import PublishedTokenizer
from keras_attention.tokenizers.settings import named_tokens
from keras_attention.tokenizers.settings import text_of

BERT_SETTINGS = {"tokenizer_class": "BertTokenizer", **BERT_TOKENS}


def word_piece_tokenizer(words, lowercase=True, settings=None):
    """Makes the tokenizer of BERT from its vocabulary.

    Wu et al. 2016, arXiv:1609.08144, Section 4.1, as in Devlin et al. 2019: the longest
    piece that a word begins with, then that of the rest, which begins with `##`.

    Args:
        words: The tokens in the order of their ids, `[UNK]`, `[CLS]` and `[SEP]` among
            them.
        lowercase: Whether texts are taken in lower case, without accents.
        settings: What `tokenizer_config.json` says besides.

    Returns:
        A `PublishedTokenizer`.

    Example:

    >>> tokenizer = word_piece_tokenizer(["[UNK]", "[CLS]", "[SEP]", "a"])
    >>> tokenizer.encode(["A"]).tolist()
    [[1, 3, 2]]
    """
    settings = {**BERT_SETTINGS, **(settings or {}), "do_lower_case": lowercase}
    tokenizer = word_pieces({word: i for i, word in enumerate(words)}, settings)
    return _finished(tokenizer, settings, has_segments=True)


def byte_pair_tokenizer(ids, merges, settings=None):
    """Makes the tokenizer of GPT-2 from its vocabulary.

    Radford et al. 2019, Section 2.2: byte pair encoding of bytes, so that no text has
    an unknown token. Each byte is written as a character that can be seen, the space
    as `Ġ`.

    Args:
        ids: Dict from token to id.
        merges: List of pairs of tokens, in the order in which they are joined.
        settings: What `tokenizer_config.json` says besides.

    Returns:
        A `PublishedTokenizer`.

    Example:

    >>> tokenizer = byte_pair_tokenizer({"a": 0, "b": 1, "ab": 2}, [("a", "b")])
    >>> tokenizer.encode(["abba"]).tolist()
    [[2, 1, 0]]
    """
    settings = {"tokenizer_class": GENERAL[0], **(settings or {})}
    tokenizer = byte_pairs(ids, merges, settings)
    put_ends(tokenizer, settings)
    return _finished(tokenizer, settings)


def _finished(tokenizer, settings, has_segments=False):
    """With the special tokens that the vocabulary has."""
    named = [
        token
        for token in named_tokens(settings)
        if tokenizer.token_to_id(text_of(token)) is not None
    ]
    add_tokens(tokenizer, {}, named)
    keep_found(settings, tokenizer)  # a reader would add what is named besides
    return PublishedTokenizer(tokenizer.to_str(), settings, has_segments)

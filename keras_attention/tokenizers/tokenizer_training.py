"""Tokenizers of BERT and of GPT-2 that are learned from text files."""

import json

from keras_attention.tokenizers.pipelines import import_tokenizers
from keras_attention.tokenizers.token_files import check_any
from keras_attention.tokenizers.token_files import check_paths
from keras_attention.tokenizers.token_files import read_lines
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer

# In the order of the vocabularies of the published models of BERT.
WORD_PIECE_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUES = "##"
END = "<|endoftext|>"


def train_word_pieces(paths, vocabulary_size=30522, min_count=2, lowercase=True):
    """Learns a tokenizer of BERT's kind from texts.

    Wu et al. 2016, arXiv:1609.08144, Section 4.1, as far as it was published: beginning
    with characters, the pair of pieces that is most frequent becomes a piece, again and
    again, within words. The same texts give the same tokenizer.

    Args:
        paths: A file in UTF-8, or a list of them. They are read line by line.
        vocabulary_size: Most tokens, the five special ones and all characters
            included.
        min_count: How often a pair must occur to become a token.
        lowercase: Take texts in lower case, without accents.

    Returns:
        A `PublishedTokenizer`, whose `[PAD]` is 0.

    Raises:
        ValueError: A file is not in UTF-8, there is no text, or `vocabulary_size` does
            not hold its characters.
        ImportError: The package tokenizers is not installed.

    Example:

    >>> import pathlib
    >>> _ = pathlib.Path("text.txt").write_text("low lower lowest\\nnew newest\\n")
    >>> tokenizer = train_word_pieces("text.txt", vocabulary_size=30)
    >>> tokenizer.decode(tokenizer.encode(["Newest low"]))
    ['newest low']
    """
    paths = check_paths(paths)
    tokenizers = import_tokenizers()
    untrained = word_piece_tokenizer(WORD_PIECE_SPECIAL, lowercase).get_config()["json"]

    def train(size, special):
        tokenizer = tokenizers.Tokenizer.from_str(untrained)
        trainer = tokenizers.trainers.WordPieceTrainer(
            vocab_size=size,
            min_frequency=min_count,
            special_tokens=special,
            continuing_subword_prefix=CONTINUES,
            show_progress=False,
        )
        tokenizer.train_from_iterator(lines_of(paths), trainer)
        ids = tokenizer.get_vocab()
        return sorted(ids, key=ids.get)

    # Left to itself the trainer numbers the characters within words in another order
    # each time, and pairs that are equally frequent go by these numbers.
    characters = sorted(set(train(0, [])) - set(WORD_PIECE_SPECIAL))
    check_any(characters, paths)
    special = [*WORD_PIECE_SPECIAL, *characters]
    if vocabulary_size < len(special):
        raise ValueError(
            f"`vocabulary_size` must be at least {len(special)}, the special tokens "
            "and the characters of the texts, at the beginning of words and in them. "
            f"Received: vocabulary_size={vocabulary_size}"
        )
    return word_piece_tokenizer(train(vocabulary_size, special), lowercase)


def train_byte_pairs(paths, vocabulary_size=50257, min_count=2):
    """Learns a tokenizer of GPT-2's kind from texts.

    Radford et al. 2019, Section 2.2: beginning with the 256 bytes, the pair of tokens
    that is most frequent becomes a token, again and again, within words and the spaces
    before them. No text has an unknown token.

    Args:
        paths: A file in UTF-8, or a list of them.
        vocabulary_size: Most tokens, the bytes and `<|endoftext|>`, which is 0,
            included.
        min_count: How often a pair must occur to become a token.

    Returns:
        A `PublishedTokenizer`.

    Raises:
        ValueError: A file is not in UTF-8, there is no text, or `vocabulary_size` does
            not hold the bytes.
        ImportError: The package tokenizers is not installed.

    Example:

    >>> import pathlib
    >>> _ = pathlib.Path("text.txt").write_text("low lower lowest\\nnew newest\\n")
    >>> tokenizer = train_byte_pairs("text.txt", vocabulary_size=265)
    >>> tokenizer.decode(tokenizer.encode(["lower lowest"]))
    ['lower lowest']
    """
    paths = check_paths(paths)
    check_any(next(lines_of(paths), ""), paths)
    tokenizers = import_tokenizers()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    if vocabulary_size <= len(alphabet):
        raise ValueError(
            f"`vocabulary_size` must be at least {len(alphabet) + 1}, the bytes and "
            f"{END}. Received: vocabulary_size={vocabulary_size}"
        )
    settings = {f"{name}_token": END for name in ("bos", "eos", "unk")}
    settings["tokenizer_class"] = "GPT2Tokenizer"
    untrained = byte_pair_tokenizer({END: 0}, [], settings)
    tokenizer = tokenizers.Tokenizer.from_str(untrained.get_config()["json"])
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=min_count,
        special_tokens=[END],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    lines = (line.replace(END, "") for line in lines_of(paths))
    tokenizer.train_from_iterator(lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return byte_pair_tokenizer(model["vocab"], merges, settings)


def lines_of(paths):
    for path in paths:
        yield from read_lines(path)

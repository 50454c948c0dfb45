"""Pipelines of the library tokenizers: opened with care, and made of parts."""

from keras_attention.files import import_package
from keras_attention.tokenizers.settings import text_of
from keras_attention.tokenizers.texts import shorten

# The flags of a token that is added to a vocabulary.
FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


def import_tokenizers():
    return import_package("tokenizers", "tokenizers", "text", "Reading a tokenizer")


def open_pipeline(json, place="This"):
    """A `tokenizers.Tokenizer` of the text of a `tokenizer.json`.

    Args:
        json: The text.
        place: Where it comes from, for the message.

    Raises:
        ValueError: It is not such a text, or a text makes it fail.
    """
    tokenizers = import_tokenizers()
    try:
        tokenizer = tokenizers.Tokenizer.from_str(json)
        # Some files hold how texts were cut and padded when they were written.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # What its parts ask of each other shows at the first text.
        tokenizer.encode("a", "a")
        tokenizer.decode([0])
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # the library raises nothing more precise
        raise ValueError(
            f"{place} is not the text of a tokenizer.json: {error}. Received: "
            f"{shorten(json)}. Copy or download the file again; one of a newer "
            "version of the package tokenizers needs that version."
        ) from None
    return tokenizer


def template(single, pair, tokenizer):
    """Special tokens around texts.

    Args:
        single: List of tokens around `$A`, each with `:1` where its segment is not 0.
        pair: The same around `$A` and `$B`.
        tokenizer: The `tokenizers.Tokenizer` that knows the tokens.

    Raises:
        ValueError: It lacks one.
    """
    names = {piece[:-2] for piece in (*single, *pair) if piece[0] != "$"}
    names = sorted(names)
    ids = ids_of(tokenizer, *names)
    return import_tokenizers().processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=list(zip(names, ids, strict=True))
    )


def ids_of(tokenizer, *names):
    """The ids of special tokens, or an error that says which are missing."""
    ids = [tokenizer.token_to_id(name) for name in names]
    missing = [name for name, i in zip(names, ids, strict=True) if i is None]
    if missing:
        raise ValueError(
            f"The vocabulary lacks {', '.join(missing)}. Received "
            f"{tokenizer.get_vocab_size()} words. Name the special tokens that it has "
            "in tokenizer_config.json, or copy the file of the vocabulary again."
        )
    return ids


def number_of_ids(tokenizer):
    """One more than the highest id of a `tokenizers.Tokenizer`."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def add_tokens(tokenizer, numbered, named):
    """Adds tokens that a text is searched for before it is split.

    Args:
        tokenizer: The `tokenizers.Tokenizer`.
        numbered: Dict from id to a dict with `content` and flags.
        named: List of special tokens, strings or such dicts, which get the next ids
            where they have none.

    Raises:
        ValueError: A token cannot have its id.
    """
    for number, token in sorted(numbered.items()):
        before = tokenizer.token_to_id(token["content"])
        _add(tokenizer, token, token.get("special", False))
        found = tokenizer.token_to_id(token["content"])
        if found != number:
            where = "has" if before is not None else "would get"
            raise ValueError(
                f"The added token {token['content']!r} must have the id {number}, and "
                f"{where} {found} behind a vocabulary of {number_of_ids(tokenizer)} "
                "ids. The files are of different tokenizers: copy them all again."
            )
    decoder = tokenizer.get_added_tokens_decoder().values()
    known = {token.content for token in decoder if token.special}
    for token in named:
        if text_of(token) not in known:
            _add(tokenizer, token, is_special=True)
            known.add(text_of(token))


def append_tokens(tokenizer, texts, is_special):
    """Adds tokens behind the vocabulary, those that it lacks.

    A word that it has would be found within others, too, so it is left as it is.

    Args:
        tokenizer: The `tokenizers.Tokenizer`.
        texts: List of strings.
        is_special: Whether `decode` leaves them out.

    Returns:
        How many ids are new.
    """
    before = number_of_ids(tokenizer)
    for text in texts:
        if is_special or tokenizer.token_to_id(text) is None:
            _add(tokenizer, text, is_special)
    return number_of_ids(tokenizer) - before


def _add(tokenizer, token, is_special):
    token = token if isinstance(token, dict) else {"content": token}
    flags = {key: token[key] for key in FLAGS if key in token}
    flags.setdefault("normalized", not is_special)
    added = import_tokenizers().AddedToken(
        token["content"], special=is_special, **flags
    )
    (tokenizer.add_special_tokens if is_special else tokenizer.add_tokens)([added])


def word_pieces(ids, settings):
    """The pipeline of BERT, without added tokens.

    Args:
        ids: Dict from token to id.
        settings: Dict with the special tokens and how a text is made plain.

    Returns:
        A `tokenizers.Tokenizer`.
    """
    tokenizers = import_tokenizers()
    unknown, first, separator = (
        text_of(settings[key]) for key in ("unk_token", "cls_token", "sep_token")
    )
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(ids, unk_token=unknown)
    )
    ids_of(tokenizer, unknown, first, separator)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    put_around(tokenizer, first, separator)
    return tokenizer


def put_around(tokenizer, first, separator):
    """`[CLS] A [SEP] B [SEP]`, as BERT reads texts."""
    single = [f"{first}:0", "$A:0", f"{separator}:0"]
    pair = [*single, "$B:1", f"{separator}:1"]
    tokenizer.post_processor = template(single, pair, tokenizer)


def byte_pairs(ids, merges, settings):
    """Byte pair encoding of bytes, as GPT-2 has it, without added tokens.

    Args:
        ids: Dict from token to id.
        merges: List of pairs of tokens.
        settings: Dict with `add_prefix_space`.

    Returns:
        A `tokenizers.Tokenizer`.
    """
    tokenizers = import_tokenizers()
    try:
        model = tokenizers.models.BPE(ids, merges)
    except Exception as error:  # tokenizers raises nothing more precise
        raise ValueError(
            f"merges.txt does not belong to vocab.json: {error}. Copy or download both."
        ) from None
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=bool(settings.get("add_prefix_space"))
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.post_processor = tokenizers.processors.ByteLevel(trim_offsets=False)
    return tokenizer


def put_ends(tokenizer, settings):
    """The first and the last token of texts, where GPT-2's settings ask for them."""
    first, last = (
        [text_of(settings[f"{name}_token"])]
        if settings.get(f"add_{name}_token")
        else []
        for name in ("bos", "eos")
    )
    if not first and not last:
        return
    single, second = (
        [f"{t}:{i}" for t in (*first, text, *last)]
        for i, text in enumerate(("$A", "$B"))
    )
    tokenizer.post_processor = template(single, [*single, *second], tokenizer)


def whole_words(ids, merges, settings):
    """The pipeline of GPT-1: byte pair encoding of words in lower case.

    Args:
        ids: Dict from token to id.
        merges: List of pairs of tokens.
        settings: Dict with `unk_token`.

    Returns:
        A `tokenizers.Tokenizer`.
    """
    tokenizers = import_tokenizers()
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            ids,
            merges,
            end_of_word_suffix="</w>",
            unk_token=text_of(settings["unk_token"]),
        )
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.BPEDecoder(suffix="</w>")
    return tokenizer

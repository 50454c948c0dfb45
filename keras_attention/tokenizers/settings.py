"""What the files beside a published tokenizer say of it, each field of them.

A field counts, or it has the one value that we have, or it changes no id and is left
out, or it is refused: none is left out that would make other ids.
"""

import json
import pathlib

from keras_attention.files import read_json
from keras_attention.files import replace_file

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
ADDED = "added_tokens.json"
CONFIG = "config.json"
OURS = "keras_attention"  # in it, what is no setting of a published tokenizer

# In the order in which transformers gives ids to those that have none.
TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
EXTRA = ("additional_special_tokens", "extra_special_tokens")
COUNTS = {
    *TOKENS,
    *EXTRA,
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "added_tokens_decoder",
    "clean_up_tokenization_spaces",
    "do_lower_case",
    "keep_accents",
    "model_input_names",
    "model_max_length",
    "pad_token_type_id",
    "padding_side",
    "separate_vocabs",
    "split_by_punct",
    "strip_accents",
    "tokenize_chinese_chars",
    "tokenizer_class",
    "trim_offsets",
    "truncation_side",
    OURS,
}
# Fields with the values that mean what is done here.
FIXED = {
    "auto_map": (None, {}),
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": (
        None,
        False,
    ),
    "do_basic_tokenize": (None, True),
    "errors": (None, "replace"),
    "init_inputs": (None, [], ()),
    "never_split": (None, [], ()),
    "remove_space": (None, True),
    "sp_model_kwargs": (None, {}),
    "split_special_tokens": (None, False),
    "vocab_type": (None, "spm", "gpt2"),
    "wordpieces_prefix": (None, "##"),
}
# No id depends on them: where a file once lay, which class of Python read it, how a
# call cut and padded when nobody said, chats.
HARMLESS = {
    "_commit_hash",
    "added_tokens_file",
    "backend",
    "chat_control_tokens",
    "chat_template",
    "device_map",
    "fix_mistral_regex",
    "from_slow",
    "full_tokenizer_file",
    "is_local",
    "language",
    "legacy",
    "local_files_only",
    "max_len",
    "max_length",
    "merges_file",
    "model_type",
    "name_or_path",
    "pad_to_max_length",
    "pad_to_multiple_of",
    "processor_class",
    "response_template",
    "return_token_type_ids",
    "source_lang",
    "spaces_between_special_tokens",
    "special_tokens_map_file",
    "stride",
    "target_lang",
    "target_vocab_file",
    "tokenizer_file",
    "tokenizer_version",
    "transformers_version",
    "truncation_strategy",
    "unk_id",
    "use_default_system_prompt",
    "use_fast",
    "verbose",
    "vocab_file",
}


def read_settings(folder):
    """What `tokenizer_config.json` and `special_tokens_map.json` say.

    Args:
        folder: A `pathlib.Path`.

    Returns:
        Dict. Special tokens are dicts with their `content`, or strings.

    Raises:
        ValueError: A file is no object of JSON, or a field is none that we know.
    """
    settings = {}
    for name in (SETTINGS, SPECIAL):
        path = folder / name
        is_needed = name == SETTINGS or not settings.get("added_tokens_decoder")
        if is_needed and path.is_file():  # the newer file says all
            found = read_object(path)
            check_fields(found, path)
            found = {k: found[k] for k in found if k not in HARMLESS and k not in FIXED}
            settings.update(found)
    return settings


def read_class(folder):
    """The class that `tokenizer_config.json` or `config.json` names, or `None`."""
    for name in (SETTINGS, CONFIG):
        path = folder / name
        found = read_object(path) if path.is_file() else {}
        if found.get("tokenizer_class") is not None:
            return str(found["tokenizer_class"])
    return None


def check_fields(settings, path):
    """Refuses a field that is not known, or whose value is another than ours."""
    for key, value in settings.items():
        if key in FIXED:
            if value not in FIXED[key]:
                expected = " or ".join(map(repr, FIXED[key]))
                raise ValueError(
                    f"{path} has {key!r}: {value!r}. Here it can be {expected} only, "
                    "so this tokenizer would give other ids. Use another one."
                )
        elif key in COUNTS:
            check_field(key, value, path)
        elif is_token_name(key):
            check_token(key, value, path)
        elif key not in HARMLESS:
            raise ValueError(
                f"{path} has the field {key!r}, of which nobody knows here whether "
                "the ids depend on it. Remove it if they do not."
            )


def check_field(key, value, path):
    """Refuses a value of another type than its field has."""
    if value is None or key == OURS:
        return
    expected = None
    if key in TOKENS:
        check_token(key, value, path)
    elif key in EXTRA:
        values = value.values() if isinstance(value, dict) else value
        if not isinstance(values, list | tuple | type({}.values())):
            expected = "a list of tokens"
        else:
            for token in values:
                check_token(key, token, path)
    elif key.endswith("_side"):
        expected = None if value in ("left", "right") else "'left' or 'right'"
    elif key in ("tokenizer_class",):
        expected = None if isinstance(value, str) else "a name"
    elif key in ("model_max_length", "pad_token_type_id"):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        expected = None if is_number and value >= 0 else "a number"
    elif key == "added_tokens_decoder":
        is_table = isinstance(value, dict) and all(map(str.isdecimal, value))
        expected = None if is_table else "an object from ids to tokens"
        for token in value.values() if is_table else ():
            check_token(key, token, path)
    elif key == "model_input_names":
        expected = None if isinstance(value, list) else "a list of names"
    elif not isinstance(value, bool):
        expected = "true or false"
    if expected:
        raise ValueError(
            f"{path} must have {expected} as {key!r}. Received: {value!r}. "
            "Copy or download the file again."
        )


def is_token_name(key):
    """Whether a field names a special token of one model, such as `image_token`."""
    return key.endswith("_token")


def check_token(key, value, path):
    if value is not None and not isinstance(text_of(value), str):
        raise ValueError(
            f"{path} must have a token as {key!r}, a string or an object with its "
            f"'content'. Received: {value!r}. Copy or download the file again."
        )


def text_of(token):
    """The text of a special token, which files hold in three ways."""
    return token.get("content") if isinstance(token, dict) else token


def named_tokens(settings):
    """The special tokens that settings name, those of all models first.

    Args:
        settings: Dict.

    Returns:
        List of strings and dicts.
    """
    names = [key for key in settings if is_token_name(key) and key not in TOKENS]
    names = [key for key in names if not isinstance(settings[key], bool)]
    found = [settings.get(key) for key in (*TOKENS, *names)]
    for key in EXTRA:
        extra = settings.get(key) or []
        found.extend(extra.values() if isinstance(extra, dict) else extra)
    return [token for token in found if token is not None]


def added_tokens(folder, settings):
    """The tokens that were added to the vocabulary, with their ids.

    Args:
        folder: A `pathlib.Path`.
        settings: What `read_settings` returned.

    Returns:
        Dict from id to a dict with `content` and how it is found in a text.
    """
    found = settings.get("added_tokens_decoder")
    if found:
        return {
            int(i): token if isinstance(token, dict) else {"content": token}
            for i, token in found.items()
        }
    path = folder / ADDED
    if not path.is_file():
        return {}
    special = {text_of(token) for token in named_tokens(settings)}
    tokens = {}
    for text, number in read_object(path).items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ValueError(
                f"{path} must hold tokens and their ids. Received: {text!r}: "
                f"{number!r}. Copy or download it again."
            )
        is_special = text in special
        tokens[number] = {
            "content": text,
            "special": is_special,
            "normalized": not is_special,
        }
    return tokens


def read_object(path):
    """What a file of JSON holds, which must be an object."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(
            f"{path} must hold an object of JSON. Received: {type(found).__name__}. "
            "Copy or download it again."
        )
    return found


def write_settings(folder, settings, class_name, **ours):
    """Writes `tokenizer_config.json`.

    Args:
        folder: An existing folder.
        settings: Dict of what stands in it.
        class_name: Class here that reads the folder.
        **ours: What is no setting of a published tokenizer.
    """
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    settings[OURS] = {"class": class_name, **ours}
    replace_file(pathlib.Path(folder) / SETTINGS, to_json(settings))


def to_json(value):
    """JSON that people can read, bytes."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode()

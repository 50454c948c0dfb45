"""What `tokenizer_config.json` changes in the pipeline of `tokenizer.json`."""

import json

from keras_attention.tokenizers.settings import text_of

# Fields, and the parts of BERT's normalizer that they set.
BERT_FIELDS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# Fields, the step that does the same in other pipelines, and the value with it.
STEPS = {
    "do_lower_case": ("normalizer", "Lowercase", True),
    "strip_accents": ("normalizer", "StripAccents", True),
    "keep_accents": ("normalizer", "StripAccents", False),
    "split_by_punct": ("pre_tokenizer", "Punctuation", True),
}


def steps(pipeline, part, kind):
    """The steps of one kind in a part of a pipeline.

    Args:
        pipeline: Dict, what `tokenizer.json` holds.
        part: `"normalizer"`, `"pre_tokenizer"`, `"post_processor"` or `"decoder"`.
        kind: The `type` of a step.

    Returns:
        List of dicts, those of the pipeline.

    Example:

    >>> sequence = {"type": "Sequence", "normalizers": [{"type": "NFC"}]}
    >>> steps({"normalizer": sequence}, "normalizer", "NFC")
    [{'type': 'NFC'}]
    """
    found, rest = [], [pipeline.get(part)]
    while rest:
        step = rest.pop()
        if isinstance(step, list):
            rest.extend(step)
        elif isinstance(step, dict):
            if step.get("type") == kind:
                found.append(step)
            lists = ("normalizers", "pretokenizers", "processors", "decoders")
            rest.extend(step.get(name) for name in lists)
    return found


def override(pipeline, settings, path):
    """Puts settings into a pipeline.

    Args:
        pipeline: Dict, what `tokenizer.json` holds. It is changed.
        settings: Dict of what the files beside it say.
        path: Its file, for the message.

    Raises:
        ValueError: A setting cannot be put into it.
    """
    bert = steps(pipeline, "normalizer", "BertNormalizer")
    for key, name in BERT_FIELDS.items():
        if key in settings:
            for step in bert:
                step[name] = settings[key]
    unknown = text_of(settings.get("unk_token"))
    model = pipeline.get("model")
    if isinstance(unknown, str) and isinstance(model, dict) and model.get("unk_token"):
        model["unk_token"] = unknown
    for key, (part, kind, value_with) in STEPS.items():
        value = settings.get(key)
        if value is None or (bert and key in BERT_FIELDS):
            continue
        has_step = bool(steps(pipeline, part, kind))
        if value != (value_with if has_step else not value_with):
            raise ValueError(
                f"tokenizer_config.json has {key!r}: {value!r}, and {path} "
                f"{'has' if has_step else 'lacks'} the step {kind} of its {part}, so "
                "they do not belong together. Copy or download both again."
            )
    if settings.get("add_prefix_space") is not None:
        override_prefix(pipeline, settings["add_prefix_space"], settings, path)
    for step in steps(pipeline, "post_processor", "RobertaProcessing"):
        step["trim_offsets"] = settings.get("trim_offsets", step["trim_offsets"])


def check_around(pipeline, settings, path):
    """Refuses other tokens around texts than the settings name."""
    inside = json.dumps(pipeline.get("post_processor"), ensure_ascii=False)
    for key in ("cls_token", "sep_token"):
        token = text_of(settings[key])
        if json.dumps(token, ensure_ascii=False) not in inside:
            raise ValueError(
                f"{path} puts other tokens around texts than the {key} {token!r} of "
                "tokenizer_config.json, so they do not belong together. Copy or "
                "download both again."
            )


def override_prefix(pipeline, value, settings, path):
    """Sets whether a space is put before the first word."""
    pairs = steps(pipeline, "pre_tokenizer", "ByteLevel")
    pairs += steps(pipeline, "post_processor", "RobertaProcessing")
    for step in pairs:
        step["add_prefix_space"] = value
    pieces = steps(pipeline, "pre_tokenizer", "Metaspace")
    for step in [*pieces, *steps(pipeline, "decoder", "Metaspace")]:
        scheme = step.get("prepend_scheme", "always")
        if value and scheme == "never":
            step["prepend_scheme"] = "always"
        if not value and scheme == "always":
            is_deberta = "DebertaV2" in str(settings.get("tokenizer_class"))
            step["prepend_scheme"] = "first" if is_deberta else "never"
    if value and not pairs and not pieces:
        raise ValueError(
            f"tokenizer_config.json has 'add_prefix_space': true, and {path} has no "
            "step that puts spaces before words. Copy or download both again."
        )


def said_by(pipeline):
    """The settings that a pipeline holds itself, so that others build the same."""
    found = {}
    for step in steps(pipeline, "normalizer", "BertNormalizer"):
        found.update({key: step.get(name) for key, name in BERT_FIELDS.items()})
    for step in steps(pipeline, "pre_tokenizer", "ByteLevel"):
        found["add_prefix_space"] = step.get("add_prefix_space", False)
    return found


def is_rebuilt(name, pipeline):
    """Whether transformers makes the same pipeline of the vocabulary and the settings.

    For some classes it leaves out what `tokenizer.json` says and makes it anew.

    Args:
        name: The class.
        pipeline: Dict, what `tokenizer.json` holds.
    """
    if name in ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"):
        step = pipeline["normalizer"] or {}
        splits = pipeline["pre_tokenizer"] == {"type": "BertPreTokenizer"}
        return splits and step.get("type") == "BertNormalizer" and step["clean_text"]
    if name in ("GPT2Tokenizer", "RobertaTokenizer"):
        found = steps(pipeline, "pre_tokenizer", "ByteLevel")
        is_whole = found == [pipeline["pre_tokenizer"]] and found[0]["use_regex"]
        return is_whole and pipeline["normalizer"] is None
    return False

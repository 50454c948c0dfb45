"""The applications, each tiny, with what it reads: `from tiny_models import MODELS`."""

import dataclasses

import numpy as np

from keras_attention import applications

B, T, S = 3, 4, 6
SIZES = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
WORDS = {"vocabulary_size": 11, "max_length": 24, **SIZES}
LANGUAGES = {"source_vocabulary_size": 11, "target_vocabulary_size": 9}
PICTURES = {"vocabulary_size": 9, "image_size": 16, "encoder_filters": (4, 4)}
PATCHES = {"image_size": 8, "patch_size": 4, "num_classes": 3}
RECURRENT = {"hidden_dim": 8, "word_dim": 6}


def texts(batch_size=B, length=T, **others):
    """Token ids, the last one padding, and what else is as long."""
    ids = np.random.default_rng(0).integers(4, 9, (batch_size, length)).astype("int32")
    mask = np.ones((batch_size, length), bool)
    mask[0, -1] = False
    return {"token_ids": ids, "padding_mask": mask, **others}


def segmented(batch_size=B, length=T):
    segments = np.zeros((batch_size, length), "int32")
    segments[:, 2:] = 1
    return texts(batch_size, length, segment_ids=segments)


def tokens(batch_size=B, length=T):
    return {"token_ids": texts(batch_size, length)["token_ids"]}


def pairs(batch_size=B, length=T):
    sources = texts(batch_size, length + 2)["token_ids"]
    sources[0, -1] = 0
    targets = texts(batch_size, length)["token_ids"]
    return {"encoder_token_ids": sources, "decoder_token_ids": targets}


def images(batch_size=B, size=8):
    rng = np.random.default_rng(0)
    return rng.random((batch_size, size, size, 3), "float32")


def captions(batch_size=B, length=T):
    ids = texts(batch_size, length)["token_ids"]
    return {"images": images(batch_size, 16), "token_ids": ids}


@dataclasses.dataclass(frozen=True)
class Tiny:
    """An application.

    Args:
        name: Name of the class.
        arguments: Those of its constructor.
        inputs: Function of the batch size, and of a length where it has one, that
            returns what it reads.
        has_length: Whether the length is not known beforehand.
    """

    name: str
    arguments: dict
    inputs: object
    has_length: bool = True

    def make(self, **changes):
        return getattr(applications, self.name)(**{**self.arguments, **changes})


CLASSES = {"head": "classification", "num_classes": 3}
MODELS = [
    Tiny("AttentionSeq2Seq", {**LANGUAGES, **RECURRENT}, pairs),
    Tiny("BERT", {**WORDS, **CLASSES}, segmented),
    Tiny("CamemBERT", {**WORDS, "head": "masked_language_model"}, texts),
    Tiny("DistilBERT", {**WORDS, "head": "question_answering"}, texts),
    Tiny("GPT2", WORDS, texts),
    Tiny("LSTMNLanguageModel", {"vocabulary_size": 11, **RECURRENT}, tokens),
    Tiny("RNNCaptioner", {**PICTURES, **RECURRENT}, captions),
    Tiny("RNNSeq2Seq", {**LANGUAGES, **RECURRENT}, pairs),
    Tiny("RoBERTa", {**WORDS, "head": None}, texts),
    Tiny("ShowAttendTell", {**PICTURES, **RECURRENT}, captions),
    Tiny("Transformer", {"source_vocabulary_size": 11, **SIZES}, pairs),
    Tiny(
        "ViT",
        {"image_size": 8, "patch_size": 4, "num_classes": 3, **SIZES},
        images,
        False,
    ),
]
BY_NAME = {tiny.name: tiny for tiny in MODELS}


def randomize(model, seed=1):
    """Other weights than the first ones, in which much is zero."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "float" in weight.dtype:
            noise = rng.normal(0.0, 0.2, weight.shape).astype("float32")
            weight.assign(weight + noise)

"""A caption that is given its beginning goes on as if it had written it."""

import numpy as np
import pytest

from keras_attention.applications import GPT2
from keras_attention.applications import RNNCaptioner
from keras_attention.applications import ShowAttendTell
from keras_attention.applications import TransformerCaptioner
from keras_attention.applications import VisionEncoderDecoder
from keras_attention.applications import ViT

WORDS = [f"word{i}" for i in range(9)]
SMALL = {"image_size": 16, "encoder_filters": (3, 4), "max_length": 7, "seed": 1}
RECURRENT = {"vocabulary": WORDS, "hidden_dim": 6, "word_dim": 4, **SMALL}
BLOCKS = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 8}


def transformers_alone():
    return VisionEncoderDecoder(
        encoder=ViT(image_size=16, patch_size=8, num_classes=None, **BLOCKS),
        decoder=GPT2(
            vocabulary_size=13,
            max_length=24,
            use_cross_attention=True,
            end_id=12,
            **BLOCKS,
        ),
        max_length=7,
    )


MAKE = {
    "RNNCaptioner": lambda: RNNCaptioner(**RECURRENT),
    "ShowAttendTell": lambda: ShowAttendTell(**RECURRENT),
    "TransformerCaptioner": lambda: TransformerCaptioner(
        vocabulary=WORDS, **BLOCKS, **SMALL
    ),
    "VisionEncoderDecoder": transformers_alone,
}


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (2, 16, 16, 3)).astype("uint8")


@pytest.fixture(params=MAKE)
def model(request, rng):
    """A captioner that writes something else for each picture."""
    model = MAKE[request.param]()
    for weight in model.weights:
        values = rng.normal(size=weight.shape, scale=0.5)
        weight.assign(np.abs(values) if "variance" in weight.path else values)
    return model


@pytest.mark.compiles_much
def test_it_goes_on_as_if_it_had_written_the_beginning(model, images):
    options = {"beam_width": 1, "min_new_tokens": 7, "return_log_probabilities": True}
    if model.writer.steps.has_attention:
        options["return_attention_scores"] = True
    image = images[:1]
    captions, log_probability, *weights = model.caption(image, **options)
    tokens = captions[0].split() if model.vocabulary else captions[0].tolist()
    assert len(tokens) == 7
    options["min_new_tokens"] = 4
    begun = " ".join(tokens[:3]) if model.vocabulary else tokens[:3]
    again, rest, *rest_weights = model.caption(image, prompt=begun, **options)
    np.testing.assert_array_equal(again, captions)
    assert rest[0] > log_probability[0]
    for whole, part in zip(weights, rest_weights, strict=True):
        axis = -3 if whole.ndim in (4, 6) else -2  # words, then places
        end = np.take(whole, range(3, whole.shape[axis]), axis=axis)
        np.testing.assert_allclose(part, end, atol=1e-5)


@pytest.mark.compiles_much
def test_all_beams_begin_with_it(model, images):
    begun = "word3 word5" if model.vocabulary else [5, 7]
    for caption in model.caption(images, prompt=begun, beam_width=3):
        tokens = caption if isinstance(caption, str) else caption[:2].tolist()
        assert tokens[: len(begun)] == begun


@pytest.mark.once
@pytest.mark.parametrize(
    "prompt, message",
    [
        ("", "has no word"),
        ("word1 " * 7, "must have from 1 to 6 tokens.*7 tokens. Shorten it"),
        ([[1]], "a string, or a list of token ids"),
        ([99], "from 0 to"),
    ],
)
def test_a_beginning_that_cannot_be_is_told(images, prompt, message):
    with pytest.raises(ValueError, match=message):
        MAKE["ShowAttendTell"]().caption(images, prompt=prompt)

"""A ViT that reads and a GPT-2 that writes, against transformers, and joined here."""

import json

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.checkpoints import named_weights
from keras_attention.visualization import attention_maps
from published import assert_close

transformers = pytest.importorskip("transformers")

RNG = np.random.default_rng(5)
IMAGES = RNG.normal(size=(3, 8, 12, 3)).astype("float32")
IDS = RNG.integers(0, 31, (3, 7))
ENCODER = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 10,
    "image_size": (8, 12),
    "patch_size": 4,
    "hidden_act": "relu",
    "layer_norm_eps": 0.01,
}
DECODER = {
    "vocab_size": 31,
    "n_positions": 20,
    "n_embd": 12,
    "n_layer": 2,
    "n_head": 3,
    "n_inner": 14,
    "layer_norm_epsilon": 0.02,
    "scale_attn_by_inverse_layer_idx": True,
    "bos_token_id": 30,
    "eos_token_id": 30,
    "add_cross_attention": True,
    "is_decoder": True,
}
# Where the widths differ, a layer stands between the two.
WIDTHS = pytest.mark.parametrize("encoder_width", [12, 8])


def saved(folder, encoder_width=8, **changes):
    """A model of transformers, saved."""
    import torch

    torch.manual_seed(7)
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(hidden_size=encoder_width, **ENCODER),
        transformers.GPT2Config(**{**DECODER, **changes}),
    )
    config.decoder_start_token_id = config.pad_token_id = config.eos_token_id = 30
    model = transformers.VisionEncoderDecoderModel(config=config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    return model


def run(reference, **options):
    """What a model of transformers computes of the pictures."""
    import torch

    with torch.no_grad():
        return reference(
            pixel_values=torch.from_numpy(IMAGES.transpose(0, 3, 1, 2)),
            decoder_input_ids=torch.from_numpy(IDS),
            **options,
        )


@WIDTHS
def test_logits_and_weights_are_those_of_transformers(tmp_path, encoder_width):
    reference = saved(tmp_path, encoder_width)
    reference.encoder.set_attn_implementation("eager")
    reference.decoder.set_attn_implementation("eager")
    expected = run(reference, output_attentions=True)
    model = applications.from_preset(tmp_path)
    assert type(model) is applications.VisionEncoderDecoder
    inputs = {"images": IMAGES, "token_ids": IDS}
    assert_close(to_numpy(model(inputs)), expected.logits)
    maps = attention_maps(model, inputs)
    kinds = {
        "encoder/block_{}/self_attention": expected.encoder_attentions,
        "decoder/block_{}/self_attention": expected.decoder_attentions,
        "decoder/block_{}/cross_attention": expected.cross_attentions,
    }
    for name, layers in kinds.items():
        for number, weights in enumerate(layers):
            assert_close(maps[name.format(number)].weights, weights)


def test_captions_are_those_of_transformers(tmp_path):
    import torch

    reference = saved(tmp_path)
    images = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2))
    expected = reference.generate(images, max_length=9, num_beams=1, do_sample=False)
    model = applications.from_preset(tmp_path)
    found, weights = model.caption(
        IMAGES, beam_width=1, max_length=8, return_attention_scores=True
    )
    np.testing.assert_array_equal(found, expected[:, 1:])
    # Layers, pictures, heads, tokens, and what the ViT gives: a class and six patches.
    assert weights.shape == (2, 3, 3, 8, 7)
    inputs = {"images": IMAGES, "token_ids": expected[:, :-1].numpy()}
    maps = attention_maps(model, inputs)
    for number in range(2):
        whole = maps[f"decoder/block_{number}/cross_attention"].weights
        np.testing.assert_allclose(weights[number], whole, atol=1e-5)


@pytest.mark.once
@WIDTHS
@pytest.mark.parametrize("is_tied", [True, False])
def test_what_is_saved_here_opens_there(tmp_path, encoder_width, is_tied):
    reference = saved(tmp_path / "theirs", encoder_width, tie_word_embeddings=is_tied)
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    again, report = transformers.VisionEncoderDecoderModel.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not report["unexpected_keys"]
    assert set(report["missing_keys"]) == {  # which nothing reads
        "encoder.pooler.dense.weight",
        "encoder.pooler.dense.bias",
    }
    assert_close(run(again.eval()).logits, run(reference).logits)
    for field, value in DECODER.items():
        assert getattr(again.config.decoder, field) == value
    for field in ("decoder_start_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(again.config, field) == 30
    here = applications.from_preset(tmp_path / "ours")
    for name, weight in named_weights(here).items():
        np.testing.assert_array_equal(weight, named_weights(model)[name])


@pytest.mark.once
def test_it_survives_a_keras_file(tmp_path):
    saved(tmp_path)
    model = applications.from_preset(tmp_path, max_length=5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    inputs = {"images": IMAGES, "token_ids": IDS}
    np.testing.assert_array_equal(to_numpy(again(inputs)), to_numpy(model(inputs)))


@pytest.mark.once
def test_two_trained_models_are_joined(tmp_path):
    """Only what reads the picture is new; models of other parts are saved, too."""
    sizes = {"num_layers": 2, "num_heads": 2, "mlp_dim": 8}
    gpt2 = applications.GPT2(vocabulary_size=9, hidden_dim=6, end_id=1, **sizes)
    gpt2.save_to_preset(tmp_path / "gpt2")
    decoder = applications.GPT2.from_preset(tmp_path / "gpt2", use_cross_attention=True)
    before, after = named_weights(gpt2), named_weights(decoder)
    new = after.keys() - before.keys()
    assert {name.split("/")[2] for name in new} == {
        "cross_attention",
        "cross_attention_residual",
    }
    for name, weight in before.items():
        np.testing.assert_array_equal(after[name], weight)
    encoder = applications.ViT(
        image_size=8,
        patch_size=4,
        hidden_dim=8,
        num_classes=None,
        num_registers=1,
        **sizes,
    )
    model = applications.VisionEncoderDecoder(encoder=encoder, decoder=decoder)
    assert (model.start_id, model.end_id) == (1, 1)
    # A ViT with registers has no published layout here, so neither has the whole.
    model.save_to_preset(tmp_path / "whole")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert "model_type" not in config
    again = applications.from_preset(tmp_path / "whole")
    assert list(named_weights(again)) == list(named_weights(model))
    picture = RNG.integers(0, 255, (8, 8, 3)).astype("uint8")
    np.testing.assert_array_equal(again.caption(picture), model.caption(picture))


def test_it_learns_to_name_a_color():
    sizes = {"num_layers": 1, "num_heads": 2, "mlp_dim": 16, "hidden_dim": 16}
    model = applications.VisionEncoderDecoder(
        encoder=applications.ViT(image_size=4, patch_size=2, num_classes=None, **sizes),
        decoder=applications.GPT2(
            vocabulary_size=5,
            use_cross_attention=True,
            end_id=0,
            dropout=0.0,
            initializer_range=0.2,
            **sizes,
        ),
    )
    images = np.zeros((30, 4, 4, 3), "uint8")
    colors = np.arange(30) % 3
    images[np.arange(30), :, :, colors] = 255
    tokens = np.stack([np.zeros(30, int), colors + 2, np.zeros(30, int)], axis=1)
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(True)
    )
    inputs = {"images": model.read_images(images), "token_ids": tokens[:, :-1]}
    model.fit(inputs, tokens[:, 1:], epochs=30, verbose=0)
    np.testing.assert_array_equal(model.caption(images)[:, 0], colors + 2)


@pytest.mark.once
def test_the_preset_has_the_published_size():
    """Counted with one block each, whose like the others are, and few words."""
    encoder = applications.ViT(num_classes=None, num_layers=1)
    decoder = applications.GPT2(
        vocabulary_size=7, num_layers=1, use_cross_attention=True
    )
    model = applications.VisionEncoderDecoder(encoder=encoder, decoder=decoder)
    (block,), (other,) = encoder.encoder.blocks, decoder.decoder.blocks
    blocks = 11 * (block.count_params() + other.count_params())
    pooler = 768 * 769  # which the published count has
    counted = model.count_params() + blocks + (50257 - 7) * 768 + pooler
    preset = applications.VisionEncoderDecoder.presets_table["vit_gpt2_captioner"]
    assert counted == preset["parameters"]


@pytest.mark.once
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"encoder": None}, "lacks the field `encoder`"),
        ({"encoder": {"model_type": "bert"}}, "model_type='bert'.*Known: vit"),
        ({"decoder": {"model_type": "trocr"}}, "model_type=.trocr.*Known: gpt2"),
        ({"new": 3}, "fields that are not known here: new=3"),
    ],
)
def test_another_config_is_refused(tmp_path, changes, message):
    saved(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **changes}))
    with pytest.raises(ValueError, match=message):
        applications.from_preset(tmp_path)


@pytest.mark.once
def test_parts_that_do_not_fit_are_refused():
    sizes = {"num_layers": 1, "num_heads": 2, "mlp_dim": 8, "hidden_dim": 8}
    encoder = applications.ViT(image_size=8, patch_size=4, num_classes=3, **sizes)
    decoder = applications.GPT2(vocabulary_size=9, **sizes)
    with pytest.raises(ValueError, match="ViT.num_classes=None.. Received: ViT"):
        applications.VisionEncoderDecoder(encoder=encoder, decoder=decoder)
    encoder = applications.ViT(image_size=8, patch_size=4, num_classes=None, **sizes)
    with pytest.raises(ValueError, match="use_cross_attention=True.*Received: GPT2"):
        applications.VisionEncoderDecoder(encoder=encoder, decoder=decoder)
    decoder = applications.GPT2(vocabulary_size=9, use_cross_attention=True, **sizes)
    with pytest.raises(ValueError, match="decoder of a `VisionEncoderDecoder`"):
        decoder.generate([[1, 2]])
    for end in (None, [1, 2]):
        decoder = applications.GPT2(
            vocabulary_size=9, use_cross_attention=True, end_id=end, **sizes
        )
        with pytest.raises(ValueError, match=r"gave end_id=.*Pass one as `end_id`"):
            applications.VisionEncoderDecoder(encoder=encoder, decoder=decoder)

"""Checkpoints of Marian and of fairseq, against the library transformers.

Tiny random models, whose files are read here and the other way round. Sources of S = 6
tokens, targets of T = 4; encoder and decoder differ in blocks, heads and widths.
"""

import io
import json

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.applications import from_preset
from keras_attention.applications import Transformer
from keras_attention.tokenizers import MarianTokenizer
from keras_attention.visualization import attention_maps

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 3,
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 14,
    "d_model": 12,
    "max_position_embeddings": 24,
    "init_std": 0.5,
    "attn_implementation": "eager",
}
# Name: configuration, and the sizes of both vocabularies.
MODELS = {
    "marian": (
        transformers.MarianConfig,
        {
            "vocab_size": 23,
            "pad_token_id": 22,
            "decoder_start_token_id": 22,
            "activation_function": "swish",
            "scale_embedding": True,
        },
        (23, 23),
    ),
    "marian_two_vocabularies": (
        transformers.MarianConfig,
        {
            "vocab_size": 23,
            "decoder_vocab_size": 19,
            "pad_token_id": 18,
            "decoder_start_token_id": 18,
            "eos_token_id": 3,
            "forced_eos_token_id": 3,
            "activation_function": "gelu_new",
            "share_encoder_decoder_embeddings": False,
            "tie_word_embeddings": False,
        },
        (23, 19),
    ),
    "fsmt": (
        transformers.FSMTConfig,
        {"src_vocab_size": 23, "tgt_vocab_size": 19},
        (23, 19),
    ),
    "fsmt_tied": (
        transformers.FSMTConfig,
        {
            "src_vocab_size": 19,
            "tgt_vocab_size": 19,
            "tie_word_embeddings": True,
            "pad_token_id": 4,
            "eos_token_id": 3,
            "decoder_start_token_id": 0,
            "forced_eos_token_id": 3,
            "activation_function": "gelu",
            "scale_embedding": False,
        },
        (19, 19),
    ),
}
by_name = pytest.mark.parametrize("name", MODELS)
# What is compiled for each: two of them, and all in the slow tests.
by_name_in_time = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if "_" in name else name
        for name in MODELS
    ],
)


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """The models of transformers and the folders with their files, by name."""
    made = {}

    def get(name):
        if name not in made:
            config_class, options, _ = MODELS[name]
            torch.manual_seed(len(name))
            config = config_class(**SIZES, **options)
            model_class = (
                transformers.MarianMTModel
                if config.model_type == "marian"
                else transformers.FSMTForConditionalGeneration
            )
            model = model_class(config).eval()
            with torch.no_grad():
                for key, weight in model.named_parameters():
                    if "norm" in key or key.endswith("bias"):
                        weight.add_(0.3 * torch.randn_like(weight))
                if config.model_type == "marian":
                    model.final_logits_bias.normal_()
            folder = tmp_path_factory.mktemp(name)
            model.save_pretrained(folder)
            made[name] = (model, folder)
        return made[name]

    return get


def example(name, rng):
    """Sources, the second with padding, and targets."""
    _, _, (source_size, target_size) = MODELS[name]
    config = MODELS[name][0](**MODELS[name][1])
    special = (config.pad_token_id, config.eos_token_id)
    sources = rng.choice(np.setdiff1d(np.arange(source_size), special), (2, 6)).astype(
        "int32"
    )
    targets = rng.choice(np.setdiff1d(np.arange(target_size), special), (2, 4)).astype(
        "int32"
    )
    sources[1, 4:] = config.pad_token_id
    targets[:, 0] = config.decoder_start_token_id
    return sources, targets, sources != config.pad_token_id


def run_reference(model, sources, targets, mask):
    with torch.no_grad():
        return model(
            input_ids=torch.tensor(sources).long(),
            attention_mask=torch.tensor(mask).long(),
            decoder_input_ids=torch.tensor(targets).long(),
            output_attentions=True,
            use_cache=False,
        )


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=5e-5, rtol=1e-4)


@by_name_in_time
def test_it_computes_what_transformers_computes(name, references, rng):
    """Logits, states of the encoder, and the weights of each attention layer."""
    reference, folder = references(name)
    sources, targets, mask = example(name, rng)
    expected = run_reference(reference, sources, targets, mask)
    model = from_preset(folder)
    assert type(model) is Transformer
    inputs = {"encoder_token_ids": sources, "decoder_token_ids": targets}
    close(model.predict(inputs, verbose=0), expected.logits.numpy())
    tokens = model.get_layer("encoder_token_ids").output
    encode = keras.Model(tokens, model.get_layer("encoder").output)
    close(
        to_numpy(encode(sources))[mask],
        expected.encoder_last_hidden_state.numpy()[mask],
    )
    maps = attention_maps(model, inputs)
    for i, weights in enumerate(expected.encoder_attentions):
        found = maps[f"encoder/block_{i}/self_attention"].weights
        for row in (0, 1):  # queries that are no padding
            close(found[row][:, mask[row]], weights.numpy()[row][:, mask[row]])
    kinds = {
        "self_attention": expected.decoder_attentions,
        "cross_attention": expected.cross_attentions,
    }
    for kind, layers in kinds.items():
        for i, weights in enumerate(layers):
            close(maps[f"decoder/block_{i}/{kind}"].weights, weights.numpy())


@pytest.mark.slow
def test_padding_may_stand_anywhere_in_a_source_of_fairseq(references, rng):
    reference, folder = references("fsmt")
    sources, targets, _ = example("fsmt", rng)
    sources[0, :2] = 1
    sources[1, 3] = 1
    expected = run_reference(reference, sources, targets, sources != 1)
    inputs = {"encoder_token_ids": sources, "decoder_token_ids": targets}
    found = from_preset(folder).predict(inputs, verbose=0)
    close(found, expected.logits.numpy())


@pytest.mark.parametrize("beam_width", [pytest.param(1, marks=pytest.mark.slow), 4])
@by_name_in_time
@pytest.mark.compiles_much
def test_it_writes_what_transformers_writes(name, beam_width, references, rng):
    """Compared by log p, where both searches compare the same."""
    reference, folder = references(name)
    sources, _, mask = example(name, rng)
    config = reference.config
    expected = reference.generate(
        torch.tensor(sources).long(),
        attention_mask=torch.tensor(mask).long(),
        num_beams=beam_width,
        do_sample=False,
        max_new_tokens=9,
        length_penalty=0.0,
        early_stopping=False,
        bad_words_ids=[[config.pad_token_id]],
    ).numpy()
    found = from_preset(folder).translate(
        sources, beam_width=beam_width, max_length=8, length_penalty=0.0
    )
    ends = (config.eos_token_id, config.pad_token_id)
    for mine, theirs in zip(found, expected[:, 1:], strict=True):
        theirs = theirs[: np.argmax(theirs == config.eos_token_id)]
        assert mine[: len(theirs)].tolist() == theirs.tolist()
        assert np.isin(mine[len(theirs) :], ends).all()


@pytest.mark.once
@by_name
def test_transformers_opens_what_is_written(name, references, rng, tmp_path):
    """And the tensors are the same, bit by bit."""
    reference, folder = references(name)
    model = from_preset(folder)
    model.save_to_preset(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == reference.config.model_type
    again, info = type(reference).from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager"
    )
    # The tables of positions are computed; transformers tells that they are not there.
    assert not [k for k in info["missing_keys"] if "embed_positions" not in k]
    assert not info["unexpected_keys"]
    expected, found = reference.state_dict(), again.state_dict()
    assert expected.keys() == found.keys()
    for key, tensor in expected.items():
        assert torch.equal(tensor, found[key]), key
    sources, targets, mask = example(name, rng)
    expected = run_reference(reference, sources, targets, mask).logits
    found = run_reference(again.eval(), sources, targets, mask).logits
    close(found.numpy(), expected.numpy())


# Tokenizers.

TEXTS = ["the cat sat", "a cat saw the rat", "that is the hat"]


@pytest.fixture(scope="module")
def marian_folder(references, tmp_path_factory):
    """The files of a Marian model with a tokenizer: two models, one list of pieces."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("tokenizer")
    pieces = ["</s>", "<unk>"]
    for side, texts in (("source", TEXTS), ("target", [t.upper() for t in TEXTS])):
        file = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=file,
            vocab_size=24,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (folder / f"{side}.spm").write_bytes(file.getvalue())
        processor = sentencepiece.SentencePieceProcessor()
        processor.LoadFromSerializedProto(file.getvalue())
        found = [processor.IdToPiece(i) for i in range(processor.GetPieceSize())]
        pieces += [p for p in found if p not in pieces and p != "<s>"]
    pieces = [*pieces, ">>fra<<", "<pad>"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    last = len(pieces) - 1
    torch.manual_seed(3)
    config = transformers.MarianConfig(
        **SIZES, vocab_size=len(pieces), pad_token_id=last, decoder_start_token_id=last
    )
    transformers.MarianMTModel(config).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
@pytest.mark.once
def test_a_text_has_the_ids_that_transformers_gives_it(marian_folder):
    reference = transformers.MarianTokenizer.from_pretrained(marian_folder)
    source = MarianTokenizer.load(marian_folder / "source.spm")
    texts = ["the rat saw a cat", ">>fra<< the hat", "zebra the"]
    expected = reference(texts, padding=True)["input_ids"]
    assert source.encode(texts).tolist() == expected
    assert len(source) == len(reference) and ">>fra<<" in source
    target = MarianTokenizer.load(marian_folder / "target.spm", is_target=True)
    texts = ["THE RAT", "A HAT SAT"]
    expected = reference(text_target=texts, padding=True)["input_ids"]
    found = target.encode(texts)
    assert found[:, 0].tolist() == [reference.pad_token_id] * 2
    assert found[:, 1:].tolist() == expected
    assert target.decode(found) == texts
    assert target.decode(expected) == reference.batch_decode(
        expected, skip_special_tokens=True
    )
    again = MarianTokenizer.from_config(target.get_config())
    assert again == target and again != source


@pytest.mark.compiles_much
def test_texts_are_translated_and_saved_with_their_tokenizers(marian_folder, tmp_path):
    model = from_preset(marian_folder)
    found = model.translate(TEXTS[:2], beam_width=2, max_length=5)
    assert len(found) == 2 and all(isinstance(text, str) for text in found)
    model.save_to_preset(tmp_path)
    assert {"source.spm", "target.spm", "vocab.json", "config.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
    again = from_preset(tmp_path)
    assert again.source_vocabulary == model.source_vocabulary
    assert again.translate(TEXTS[:2], beam_width=2, max_length=5) == found


@pytest.mark.once
def test_what_is_no_tokenizer_is_refused(marian_folder):
    source = MarianTokenizer.load(marian_folder / "source.spm")
    with pytest.raises(ValueError, match="`texts` must be a list of strings"):
        source.encode("the cat")
    with pytest.raises(ValueError, match="Text 1 is empty"):
        source.encode(["cat", " "])
    with pytest.raises(ValueError, match="more than max_length=3"):
        source.encode(["the cat sat on that hat"], max_length=3)
    cut = source.encode(["the cat sat on that hat"], max_length=3, truncate=True)
    assert cut.shape == (1, 3) and cut[0, -1] == source.end_id
    with pytest.raises(ValueError, match="Token ids must be from 0 to"):
        source.decode([[len(source)]])
    with pytest.raises(ValueError, match="`pieces` must be distinct"):
        MarianTokenizer(source.get_config()["model"], ["a", "a"])


@pytest.mark.once
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"normalize_before": True}, "normalize_before=True"),
        ({"activation_function": "softsign"}, "activation_function='softsign'"),
        ({"alibi": 3}, "alibi=3"),
        ({"vocab_size": 24}, "model.shared.weight"),
        ({"encoder_layers": 3}, "encoder.layers.2"),
    ],
)
def test_what_the_model_does_not_do_is_refused(changes, message, references, tmp_path):
    _, folder = references("marian")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ValueError, match=message):
        from_preset(tmp_path)


@pytest.mark.once
def test_a_vocabulary_larger_than_the_model_is_refused(marian_folder, tmp_path):
    for path in marian_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    ids = json.loads((tmp_path / "vocab.json").read_text())
    ids["more"] = len(ids)
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    with pytest.raises(ValueError, match="more than the model"):
        from_preset(tmp_path)


@pytest.mark.once
@pytest.mark.parametrize("name", ["marian", "fsmt"])
def test_tables_of_positions_in_a_file_are_those_that_are_computed(
    name, references, tmp_path
):
    """Fine-tuning may have moved them: such a file computes something else there."""
    import shutil

    import safetensors.numpy

    reference, folder = references(name)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    table = "model.decoder.embed_positions.weight"
    positions = reference.model.decoder.embed_positions
    if name == "marian":
        weight = positions.create_weight()
    else:
        weight = positions.get_embedding(*positions.weight.shape, positions.padding_idx)
    tensors[table] = weight.numpy()
    safetensors.numpy.save_file(tensors, path)
    expected = from_preset(folder).get_weights()
    for one, other in zip(from_preset(tmp_path).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    tensors[table][3, 2] += 0.1
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(ValueError, match=f"than are computed there .{table}"):
        from_preset(tmp_path)

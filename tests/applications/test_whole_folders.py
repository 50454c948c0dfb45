"""A folder of `save_to_preset` opens whole in transformers, no part left to a default.

Tokenizer, processor of pictures, labels, and how text is written.
"""

import numpy as np
import pytest
from family_table import ROWS

from keras_attention import applications
from keras_attention.tokenizers import load_tokenizer
from published_tokenizers import write_albert
from published_tokenizers import write_bert
from published_tokenizers import write_camembert
from published_tokenizers import write_deberta
from published_tokenizers import write_distilbert
from published_tokenizers import write_gpt2
from published_tokenizers import write_roberta
from published_tokenizers import write_xlnet

pytestmark = pytest.mark.once
transformers = pytest.importorskip("transformers")

SIZES = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
LABELS = ["against", "for"]
TEXTS = ["the dogs barked", "attention is all you need"]
WRITERS = {
    "Bert": write_bert,
    "Roberta": write_roberta,
    "Camembert": write_camembert,
    "DistilBert": write_distilbert,
    "Albert": write_albert,
    "Electra": write_bert,
    "MegatronBert": write_bert,
    "Deberta": write_deberta,
    "DebertaV2": write_deberta,
    "XLNet": write_xlnet,
}


def tokenizer_of(writer, tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    return load_tokenizer(writer(folder))


@pytest.mark.filterwarnings(
    "ignore:A published config.json has no field for max_length"
)
@pytest.mark.parametrize("row", ROWS, ids=[row.published for row in ROWS])
def test_a_pipeline_of_transformers_classifies_as_we_do(tmp_path, row):
    tokenizer = tokenizer_of(WRITERS[row.published], tmp_path)
    model = row.model(
        tokenizer=tokenizer,
        vocabulary_size=len(tokenizer),
        padding_id=tokenizer.padding_id,
        max_length=20,
        head="classification",
        class_names=LABELS,
        **SIZES,
    )
    model.save_to_preset(tmp_path / "ours")
    classify = transformers.pipeline(
        "text-classification", str(tmp_path / "ours"), top_k=None, device="cpu"
    )
    assert classify.model.config.id2label == dict(enumerate(LABELS))
    assert classify.tokenizer.pad_token_id == tokenizer.padding_id
    names, probabilities = model.classify(TEXTS)
    for name, ours, theirs in zip(names, probabilities, classify(TEXTS), strict=True):
        assert theirs[0]["label"] == name
        scores = {each["label"]: each["score"] for each in theirs}
        np.testing.assert_allclose([scores[x] for x in LABELS], ours, atol=1e-4)


def test_a_pipeline_of_transformers_goes_on_as_gpt2_does(tmp_path):
    tokenizer = tokenizer_of(write_gpt2, tmp_path)
    model = applications.GPT2(
        tokenizer=tokenizer,
        vocabulary_size=len(tokenizer),
        end_id=tokenizer.end_id,
        max_length=30,
        **SIZES,
    )
    model.save_to_preset(tmp_path / "ours")
    write = transformers.pipeline(
        "text-generation", str(tmp_path / "ours"), device="cpu"
    )
    assert write.model.generation_config.eos_token_id == tokenizer.end_id
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    (found,) = write("the dogs", **options)
    assert found["generated_text"] == model.generate("the dogs", max_new_tokens=8)


def test_a_pipeline_of_transformers_sees_as_vit_does(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    model = applications.ViT(
        image_size=8, patch_size=4, class_names=LABELS, num_classes=2, **SIZES
    )
    model.save_to_preset(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), "uint8")
    classify = transformers.pipeline(
        "image-classification",
        model=str(tmp_path),
        image_processor=transformers.ViTImageProcessorPil.from_pretrained(tmp_path),
        device="cpu",
    )
    names, probabilities = model.classify([image])
    found = classify(pillow.fromarray(image))
    assert found[0]["label"] == names[0]
    scores = {each["label"]: each["score"] for each in found}
    np.testing.assert_allclose([scores[x] for x in LABELS], probabilities[0], atol=1e-4)

"""Are whole models of ours as fast as those of other libraries?

    KERAS_BACKEND=jax python benchmarks/models.py [--quick]

Random weights of the published sizes, float32, with what `fit` and `predict` run: BERT
base that sorts 4 texts of 128 tokens, GPT-2 small that predicts the next of 128 tokens
in 4 texts, and ViT-S/16 and Swin-T that sort 8 pictures of 224 x 224. A forward pass
without dropout; a training step with the dropout of the papers and stochastic gradient
descent. The peers are KerasHub and, on PyTorch, transformers in the usual loop.
"""

import keras
import numpy as np
from contenders import Contender
from contenders import LEARNING_RATE
from harness import installed
from harness import read_options
from harness import Report

from keras_attention.applications import BERT
from keras_attention.applications import GPT2
from keras_attention.applications import Swin
from keras_attention.applications import ViT

SIZES = {
    "full": {
        "BERT-base": {
            **{"vocabulary_size": 30522, "num_layers": 12, "num_heads": 12},
            **{"hidden_dim": 768, "mlp_dim": 3072, "max_length": 512},
        },
        "GPT-2 small": {
            **{"vocabulary_size": 50257, "num_layers": 12, "num_heads": 12},
            **{"hidden_dim": 768, "mlp_dim": 3072, "max_length": 1024},
        },
        "ViT-S/16": {
            **{"image_size": 224, "patch_size": 16, "num_layers": 12, "num_heads": 6},
            **{"hidden_dim": 384, "mlp_dim": 1536},
        },
        "Swin-T": {
            **{"image_size": 224, "patch_size": 4, "window_size": 7, "hidden_dim": 96},
            **{"num_layers": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]},
            **{"mlp_dim": 384},
        },
    },
    "tiny": {
        "BERT": {
            **{"vocabulary_size": 50, "num_layers": 2, "num_heads": 2},
            **{"hidden_dim": 16, "mlp_dim": 32, "max_length": 128},
        },
        "GPT-2": {
            **{"vocabulary_size": 50, "num_layers": 2, "num_heads": 2},
            **{"hidden_dim": 16, "mlp_dim": 32, "max_length": 128},
        },
        "ViT": {
            **{"image_size": 32, "patch_size": 16, "num_layers": 2, "num_heads": 2},
            **{"hidden_dim": 16, "mlp_dim": 32},
        },
        "Swin": {
            **{"image_size": 32, "patch_size": 4, "window_size": 4, "hidden_dim": 8},
            **{"num_layers": [1, 1], "num_heads": [1, 2], "mlp_dim": 32},
        },
    },
}
SIZES["quick"] = {"ViT-S/16": SIZES["full"]["ViT-S/16"]}
NUM_TEXTS, LENGTH, NUM_IMAGES = 4, 128, 8
NUM_CLASSES = {"BERT": 2, "ViT": 1000, "Swin": 1000}
DROPOUT = 0.1  # of BERT and GPT-2; ViT-S is trained without
DROP_PATH = 0.1  # of Swin-T there
ROUNDS = {"full": 5, "quick": 3, "tiny": 1}


# BERT


def draw_bert(size):
    """Inputs and labels."""
    rng = np.random.default_rng(0)
    shape = (NUM_TEXTS, LENGTH)
    token_ids = rng.integers(1, size["vocabulary_size"], shape).astype("int32")
    return {
        "token_ids": token_ids,
        "segment_ids": np.zeros(shape, "int32"),
        "padding_mask": np.ones(shape, "bool"),
    }, rng.integers(0, NUM_CLASSES["BERT"], NUM_TEXTS).astype("int32")


def our_bert(size):
    return BERT(head="classification", num_classes=NUM_CLASSES["BERT"], **size)


def keras_hub_bert(size):
    from keras_hub import models

    backbone = models.BertBackbone(**hub_names(size), dropout=DROPOUT)
    return models.BertTextClassifier(backbone, NUM_CLASSES["BERT"], dropout=DROPOUT)


def transformers_bert(size):
    import transformers

    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=size["vocabulary_size"],
            hidden_size=size["hidden_dim"],
            num_hidden_layers=size["num_layers"],
            num_attention_heads=size["num_heads"],
            intermediate_size=size["mlp_dim"],
            max_position_embeddings=size["max_length"],
            num_labels=NUM_CLASSES["BERT"],
        )
    )


# GPT-2


def draw_gpt2(size):
    inputs, _ = draw_bert(size)
    del inputs["segment_ids"]
    return inputs, np.roll(inputs["token_ids"], -1, axis=1)


def our_gpt2(size):
    return GPT2(head="next_token", **size)


def keras_hub_gpt2(size):
    from keras_hub import models

    backbone = models.GPT2Backbone(**hub_names(size), dropout=DROPOUT)
    return models.GPT2CausalLM(backbone)


def transformers_gpt2(size):
    import transformers

    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=size["vocabulary_size"],
            n_embd=size["hidden_dim"],
            n_layer=size["num_layers"],
            n_head=size["num_heads"],
            n_inner=size["mlp_dim"],
            n_positions=size["max_length"],
            bos_token_id=0,
            eos_token_id=0,
        )
    )


# ViT


def draw_vit(size):
    rng = np.random.default_rng(0)
    shape = (NUM_IMAGES, size["image_size"], size["image_size"], 3)
    labels = rng.integers(0, NUM_CLASSES["ViT"], NUM_IMAGES)
    return rng.normal(size=shape).astype("float32"), labels.astype("int32")


def our_vit(size):
    return ViT(num_classes=NUM_CLASSES["ViT"], **size)


def keras_hub_vit(size):
    from keras_hub import models

    side, patch = size["image_size"], size["patch_size"]
    backbone = models.ViTBackbone(
        image_shape=(side, side, 3),
        patch_size=(patch, patch),
        num_layers=size["num_layers"],
        num_heads=size["num_heads"],
        hidden_dim=size["hidden_dim"],
        mlp_dim=size["mlp_dim"],
    )
    return models.ViTImageClassifier(backbone, NUM_CLASSES["ViT"])


def transformers_vit(size):
    import transformers

    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=size["image_size"],
            patch_size=size["patch_size"],
            hidden_size=size["hidden_dim"],
            num_hidden_layers=size["num_layers"],
            num_attention_heads=size["num_heads"],
            intermediate_size=size["mlp_dim"],
            num_labels=NUM_CLASSES["ViT"],
        )
    )


# Swin


def our_swin(size):
    return Swin(num_classes=NUM_CLASSES["Swin"], drop_path=DROP_PATH, **size)


def keras_hub_swin(size):
    from keras_hub import models

    side = size["image_size"]
    backbone = models.SwinTransformerBackbone(
        image_shape=(side, side, 3),
        patch_size=size["patch_size"],
        embed_dim=size["hidden_dim"],
        depths=size["num_layers"],
        num_heads=size["num_heads"],
        window_size=size["window_size"],
        drop_path=DROP_PATH,
    )
    return models.SwinTransformerImageClassifier(backbone, NUM_CLASSES["Swin"])


def transformers_swin(size):
    import transformers

    return transformers.SwinForImageClassification(
        transformers.SwinConfig(
            image_size=size["image_size"],
            patch_size=size["patch_size"],
            embed_dim=size["hidden_dim"],
            depths=size["num_layers"],
            num_heads=size["num_heads"],
            window_size=size["window_size"],
            drop_path_rate=DROP_PATH,
            num_labels=NUM_CLASSES["Swin"],
        )
    )


# All


def hub_names(size):
    """The sizes of a text model as KerasHub calls them."""
    names = {"mlp_dim": "intermediate_dim", "max_length": "max_sequence_length"}
    return {names.get(name, name): value for name, value in size.items()}


def keras_contender(model, inputs, labels):
    """A Keras model as its trainer runs it."""
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[],  # else KerasHub adds one
        weighted_metrics=[],
    )
    return Contender(
        lambda: model.predict_on_batch(inputs),
        lambda: float(model.train_on_batch(inputs, labels)),
        model.count_params(),
    )


def transformers_contender(model, inputs, labels):
    """A model of transformers in the usual loop, which computes the loss itself."""
    import torch

    if isinstance(inputs, dict):
        names = {
            "token_ids": "input_ids",
            "segment_ids": "token_type_ids",
            "padding_mask": "attention_mask",
        }
        inputs = {names[name]: torch.from_numpy(x) for name, x in inputs.items()}
    else:
        pixels = np.ascontiguousarray(np.moveaxis(inputs, -1, 1))
        inputs = {"pixel_values": torch.from_numpy(pixels)}
    labels = torch.from_numpy(labels).long()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)

    def forward():
        model.eval()
        with torch.inference_mode():
            return model(**inputs).logits.numpy()

    def train():
        model.train()
        optimizer.zero_grad()
        logits = model(**inputs).logits
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        )
        loss.backward()
        optimizer.step()
        return loss.item()

    return Contender(forward, train, sum(p.numel() for p in model.parameters()))


MAKERS = {
    "BERT": (draw_bert, our_bert, keras_hub_bert, transformers_bert),
    "GPT": (draw_gpt2, our_gpt2, keras_hub_gpt2, transformers_gpt2),
    "ViT": (draw_vit, our_vit, keras_hub_vit, transformers_vit),
    "Swin": (draw_vit, our_swin, keras_hub_swin, transformers_swin),
}


def make_contenders(name, size, peers):
    """All models of one kind, a dict of contenders."""
    draw, ours, keras_hub, transformers = MAKERS[name.split("-")[0]]
    inputs, labels = draw(size)
    found = {"ours": keras_contender(ours(size), inputs, labels)}
    if "KerasHub" in peers:
        found["KerasHub"] = keras_contender(keras_hub(size), inputs, labels)
    if "transformers" in peers:
        model = transformers(size)
        found["transformers"] = transformers_contender(model, inputs, labels)
    sizes = {key: contender.num_parameters for key, contender in found.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"The models must have equally many parameters: {sizes}")
    return found


def main(arguments=None):
    options = read_options(__doc__, arguments, only="")
    peers = []
    if installed("keras_hub", "keras-hub"):
        peers.append("KerasHub")
    if keras.backend.backend() == "torch" and installed("transformers", "transformers"):
        peers.append("transformers")
    report = Report("models", options)
    for name, size in SIZES[options.size].items():
        if options.only not in name:
            continue
        found = make_contenders(name, size, peers)
        for kind in ("forward", "train"):
            calls = {key: getattr(c, kind) for key, c in found.items()}
            report.compare(f"{name}, {kind}", calls, rounds=ROUNDS[options.size])
    report.finish()


if __name__ == "__main__":
    main()

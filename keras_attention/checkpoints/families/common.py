"""The words that the tables of all families use: what a published part is in ours."""

from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import SAME
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED


def linear(published, ours, transform=TRANSPOSED, **options):
    """The rules of a `Linear`: its kernel, and its bias.

    Args:
        published: Its name there.
        ours: What stands before `kernel` and `bias` here.
        transform: What is done to the kernel.
        **options: Of both rules.

    Returns:
        Tuple of rules.
    """
    return (
        Rule(f"{published}.weight", f"{ours}kernel", transform, **options),
        Rule(f"{published}.bias", f"{ours}bias", **options),
    )


def norm(published, ours, **options):
    """The rules of a `LayerNorm`.

    Args:
        published: Its name there.
        ours: Path of the layer here.
        **options: Of both rules.

    Returns:
        Tuple of rules.
    """
    return (
        Rule(f"{published}.weight", f"{ours}/gamma", **options),
        Rule(f"{published}.bias", f"{ours}/beta", **options),
    )


def tables(published):
    """The rules of the tables of tokens, of positions and of segments.

    Args:
        published: What stands before their names there.

    Returns:
        Tuple of rules.
    """
    return (
        Rule(
            published + "word_embeddings.weight",
            "embedding/token_embedding/embeddings",
            sized_by="vocabulary_size",
        ),
        Rule(
            published + "position_embeddings.weight",
            "embedding/position_embedding/table",
            sized_by="max_length",
        ),
        Rule(
            published + "token_type_embeddings.weight",
            "embedding/segment_embedding/embeddings",
            sized_by="num_segments",
        ),
    )


def last_layer(published, is_tied):
    """The rules of what predicts masked words: a bias, and a kernel that is not tied.

    Args:
        published: What stands before their names there.
        is_tied: Whether the kernel is the table of tokens, where the bias has another
            name.

    Returns:
        Tuple of rules.
    """
    return (
        Rule(
            published + ("bias" if is_tied else "decoder.bias"),
            "masked_language_model_bias/bias",
            sized_by="vocabulary_size",
        ),
        Rule(
            published + "decoder.weight",
            "masked_language_model_head/kernel",
            TRANSPOSED,
            sized_by="vocabulary_size",
        ),
    )


def query_key_value(published, ours, names=("query", "key", "value")):
    """The rules of three projections that are one kernel here.

    Args:
        published: What stands before their names there.
        ours: Path of the attention layer here.
        names: Their names.

    Returns:
        Tuple of rules.
    """
    kernels = tuple(f"{published}{name}.weight" for name in names)
    biases = tuple(f"{published}{name}.bias" for name in names)
    joint = f"{ours}/query_key_value_"
    return (
        Rule(kernels, f"{joint}kernel", side_by_side(TRANSPOSED)),
        Rule(biases, f"{joint}bias", side_by_side()),
    )


def fused_query_key_value(published, ours, transform=SAME):
    """The rules of a projection that is one kernel there, too.

    Args:
        published: Its name there.
        ours: Path of the attention layer here.
        transform: What is done to the kernel.

    Returns:
        Tuple of rules.
    """
    return linear(published, f"{ours}/query_key_value_", transform)


# How a model of texts began, which says how it goes on where something is new.
INITIALIZER_RANGE = Field("initializer_range", "initializer_range", 0.02)
# A classifier's labels, which `problem_type` says how to read.
PROBLEMS = {
    "single_label_classification": "classification",
    "regression": "regression",
    "multi_label_classification": "multi_label",
}
# The heads that one published class has, and those that have labels.
SEQUENCE_HEADS = ("classification", "regression", "multi_label")
LABELLED = (*SEQUENCE_HEADS, "token_classification")


def read_head(config):
    """What a `config.json` says of a head: its labels, and of what kind they are.

    Args:
        config: What it holds.

    Returns:
        Dict of arguments.

    Example:

    >>> read_head({"architectures": ["BertForSequenceClassification"], "num_labels": 1})
    {'num_classes': 1, 'class_names': None, 'head': 'regression'}
    """
    architecture = (config.get("architectures") or [""])[0]
    if not architecture.endswith("Classification"):
        return {"num_classes": None, "class_names": None}
    labels = read_labels(config)
    if not architecture.endswith("SequenceClassification"):
        return labels
    one = labels["num_classes"] == 1  # as the published code reads it
    problem = config.get("problem_type")
    by_default = "regression" if one else "single_label_classification"
    head = PROBLEMS[problem or by_default]
    if head == "classification" and one:
        head = "regression"
    return {**labels, "head": head}


def write_head(arguments):
    """The fields of `config.json` for a head.

    Args:
        arguments: Dict of all arguments.

    Returns:
        Dict.

    Example:

    >>> head = {"head": "multi_label", "num_classes": 3, "class_names": None}
    >>> write_head(head)["problem_type"]
    'multi_label_classification'
    """
    head = arguments["head"]
    if head not in LABELLED:
        return {}
    by_default = 1 if head == "regression" else 2
    number = arguments["num_classes"] or by_default
    fields = write_labels({**arguments, "num_classes": number})
    for problem, name in PROBLEMS.items():
        if name == head != "classification":
            fields["problem_type"] = problem
    return fields


def encoder_architectures(name, *, more=None):
    """The published classes of an encoder of texts, and our arguments for them.

    Args:
        name: How they begin.
        more: Dict of others, which come behind that without a head.

    Returns:
        Dict.
    """
    return {
        f"{name}Model": {"head": None},
        **(more or {}),
        f"{name}ForMaskedLM": {"head": "masked_language_model"},
        f"{name}ForSequenceClassification": {"head": SEQUENCE_HEADS},
        f"{name}ForTokenClassification": {"head": "token_classification"},
        f"{name}ForQuestionAnswering": {"head": "question_answering"},
        f"{name}ForMultipleChoice": {"head": "multiple_choice"},
    }


def encoder_fields(*, epsilon=1e-12, padding_id=0, vocabulary_size=30522):
    """The fields that BERT's kin have in common.

    Args:
        epsilon: Default of that of the norms.
        padding_id: Default of the token id of padding.
        vocabulary_size: Default of the number of tokens.

    Returns:
        Tuple of fields.
    """
    return (
        Field("vocab_size", "vocabulary_size", vocabulary_size),
        Field("hidden_size", "hidden_dim", 768),
        Field("num_hidden_layers", "num_layers", 12),
        Field("num_attention_heads", "num_heads", 12),
        Field("intermediate_size", "mlp_dim", 3072),
        Field("hidden_act", "activation", "gelu", ACTIVATIONS),
        Field("layer_norm_eps", "epsilon", epsilon),
        Field("hidden_dropout_prob", "dropout", 0.1),
        Field("attention_probs_dropout_prob", "attention_dropout", 0.1),
        Field("classifier_dropout", "classifier_dropout", None),
        Field("tie_word_embeddings", "tie_embeddings", True),
        Field("pad_token_id", "padding_id", padding_id),
        INITIALIZER_RANGE,
    )

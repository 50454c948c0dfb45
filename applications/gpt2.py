"""GPT-2: a Transformer's decoder that writes on.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", Section 2.3.

Letters: B sequences, T tokens, D width of a token, V vocabulary.
"""

import itertools
import math

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.gpt2 import GPT2_FAMILY
from keras_attention.generation.text_generator import TextGenerator
from keras_attention.layers.text_embedding import TextEmbedding
from keras_attention.layers.transformer_decoder import TransformerDecoder
from keras_attention.layers.transformer_decoder_block import TransformerDecoderBlock
from keras_attention.tasks.task_head import EncodedText
from keras_attention.tasks.text_inputs import attach_head
from keras_attention.tasks.text_inputs import text_inputs
from keras_attention.tasks.text_inputs import TextInputs


class GPTFigure(TextInputs, TextGenerator, Application, abstract=True):
    """What the GPTs share: all but the place of the norms."""

    norm_order = "pre"
    assets = ("tokenizer",)
    task_heads = (None, "next_token", "classification", "regression", "multi_label")

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=50257,
        max_length=1024,
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=None,
        activation="gelu_tanh",
        epsilon=1e-5,
        dropout=0.1,
        attention_dropout=0.1,
        embedding_dropout=0.1,
        head="next_token",
        unscaled_attention=False,
        scale_by_layer=False,
        use_cross_attention=False,
        windows=None,
        use_attention_bias=True,
        tie_embeddings=True,
        num_classes=None,
        class_names=None,
        end_id=50256,
        padding_id=None,
        initializer_range=0.02,
        seed=None,
        name=None,
    ):
        num_classes = self.check_head(head, num_classes, class_names)
        initializer = keras.initializers.TruncatedNormal(
            stddev=initializer_range, seed=seed
        )
        embedding = TextEmbedding(
            vocabulary_size,
            hidden_dim,
            max_length,
            counted="tokens",
            use_norm=False,
            dropout=embedding_dropout,
            initializer=initializer,
            seed=seed,
            name="embedding",
        )
        block = TransformerDecoderBlock(
            num_heads,
            mlp_dim or 4 * hidden_dim,
            use_cross_attention=use_cross_attention,
            norm_order=self.norm_order,
            use_attention_bias=use_attention_bias,
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            epsilon=epsilon,
            kernel_initializer=initializer,
            output_initializer=keras.initializers.TruncatedNormal(
                stddev=initializer_range / math.sqrt(2 * num_layers), seed=seed
            ),
            seed=seed,
        )
        scale = 1.0 if unscaled_attention else (hidden_dim // num_heads) ** -0.5
        decoder = TransformerDecoder(
            block,
            num_layers,
            attention_scale=[
                scale / (i + 1) if scale_by_layer else scale for i in range(num_layers)
            ],
            window=windows
            and [*itertools.islice(itertools.cycle(windows), num_layers)],
            name="decoder",
        )

        inputs, (token_ids, padding_mask) = text_inputs(
            head, "token_ids", "padding_mask"
        )
        read = []
        if use_cross_attention:
            shape = (None, hidden_dim)
            inputs["encoder_outputs"] = keras.Input(shape, name="encoder_outputs")
            read.append(inputs["encoder_outputs"])  # (B, S, D)
        x = embedding(token_ids, padding_mask=padding_mask)  # (B, T, D)
        x = decoder(x, *read, mask=padding_mask)  # (B, T, D)
        encoded = EncodedText(
            x,
            embedding,
            padding_mask,
            pooled_from="last",
            pooler=None,
            has_pooled_output=False,
            tie_embeddings=tie_embeddings,
            num_classes=num_classes,
            use_bias=False,
            initializer=initializer,
            seed=seed,
        )
        super().__init__(inputs, attach_head(head, encoded), name=name)
        self.embedding, self.decoder = embedding, decoder
        if padding_id is None:
            self.padding_id = TextGenerator.padding_id

    @classmethod
    def head_layers(cls):
        """The layers that are new where an argument asks for them.

        Returns:
            Dict from the name of an argument to a list of paths of layers.
        """
        reading = "decoder/block_{i}/cross_attention"
        return {
            **super().head_layers(),
            "use_cross_attention": [reading, f"{reading}_residual"],
        }

    def make_steps(self):
        """How this model begins and goes on: see `CachedSteps`.

        Raises:
            ValueError: It writes about what an encoder read.
        """
        if self.use_cross_attention:
            raise ValueError(
                f"This {type(self).__name__} has cross-attention, so it cannot write "
                "alone. Make it the decoder of a `VisionEncoderDecoder`, or load it "
                "with use_cross_attention=False."
            )
        return super().make_steps()

    def embed(self, token_ids, positions):
        """Vectors of tokens at their positions.

        Args:
            token_ids: Integers `(B, T)`.
            positions: Integers `(B, T)`.

        Returns:
            `(B, T, D)`.
        """
        return self.embedding(token_ids, positions=positions)

    def predict_logits(self, x):
        """Logits of the next token.

        Args:
            x: `(B, T, D)`, what comes out of the decoder.

        Returns:
            `(B, T, V)`.

        Raises:
            ValueError: The model has another head.
        """
        if self.head != "next_token":
            raise ValueError(
                f"This {type(self).__name__} has head={self.head!r}, so it writes no "
                'text. Load it with head="next_token".'
            )
        if self.tie_embeddings:
            return self.embedding.token_embedding(x, reverse=True)
        return self.get_layer("next_token_head")(x)


@keras.saving.register_keras_serializable("keras_attention")
class GPT2(GPTFigure):
    """Predicts the token after each token from all tokens before it.

    Radford et al. 2019, Section 2.3; the block is that of the Transformer's decoder,
    without an encoder to read and with the norm in front of each branch:

        x = embedding(token_ids) + positions                        (B, T, D)
        x = 12 times: causal self-attention, feed-forward network   (B, T, D)
        x = norm(x)                                                 (B, T, D)
        logits = x embedding^T                                      (B, T, V)

    It reads and writes the checkpoints of the library transformers:

        model = GPT2.from_preset("hf://openai-community/gpt2")

    and continues texts by `generate`:

        model.generate("Attention is", max_new_tokens=20)

    Padding may stand before or behind the tokens: positions count tokens only. The
    models of GPT-3 and of Megatron are this one in other sizes; those of GPT-3 were
    trained with `windows=[None, w]` of a width w that is not told (Brown et al. 2020,
    arXiv:2005.14165, Section 2.1).

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Number of positions.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks. Defaults to 4 D.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training of what each branch adds, from 0 to 1.
        attention_dropout: Fraction of attention weights dropped.
        embedding_dropout: Fraction of the embeddings dropped.
        head: `"next_token"`; `"classification"`, `"regression"` or `"multi_label"` of
            the whole sequence, by its last token; or `None` for the tokens after the
            last norm.
        unscaled_attention: Whether scores are plain products of queries and keys, not
            divided by the root of the width of a head.
        scale_by_layer: Whether the scores of block i are also divided by i, counted
            from 1, as in the GPT-2s of Stanford's CRFM.
        use_cross_attention: Whether each block also reads an encoder's outputs, behind
            its self-attention. Such a model writes about what another one encoded: see
            `VisionEncoderDecoder`.
        windows: List of how many tokens the blocks read before each, itself included,
            from the first block on and repeated; `None` in it stands for all. By
            default all blocks read all tokens.
        use_attention_bias: Whether the projections to query, key and value have biases.
        tie_embeddings: Whether the language model's last layer is the table of tokens,
            transposed.
        num_classes: Number of classes of a classifier, by default 2, or of numbers of a
            regression, by default 1.
        class_names: Their names.
        end_id: Token id that ends a text, or a list of them.
        padding_id: Token id of padding, if there is one. Here it is `padding_mask` that
            counts; a checkpoint holds it for others.
        initializer_range: Standard deviation of the first values of all kernels and
            tables, drawn from a truncated normal distribution; where a branch ends, it
            is divided by the root of the number of branches.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `token_ids`, integers `(B, T)`, and `padding_mask`, `(B, T)`,
            True (or 1) for a token that is no padding; with cross-attention also
            `encoder_outputs`, `(B, S, D)`. `fit`, `evaluate` and `predict` also take
            texts; see `TextInputs`.

    Returns:
        Logits `(B, T, V)` of the token after each token, logits `(B, num_classes)`, or
        tokens `(B, T, D)`.

    Raises:
        ValueError: An argument is out of its range, or the sequence is longer than
            `max_length`.

    Example:

    >>> model = GPT2(vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2)
    >>> inputs = {"token_ids": [[5, 7, 2]], "padding_mask": [[1, 1, 1]]}
    >>> inputs = {name: np.array(ids) for name, ids in inputs.items()}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3, 20)
    """

    # Table 2. The paper counts 117M and 345M for the first two; the published weights
    # have the numbers here.
    presets_table = {
        "gpt2_tiny": {
            "description": "2 blocks of width 128, to train in minutes.",
            "parameters": 6_960_768,
            "num_layers": 2,
            "hidden_dim": 128,
            "num_heads": 2,
        },
        "gpt2": {
            "description": "12 blocks of width 768.",
            "parameters": 124_439_808,
        },
        "gpt2_medium": {
            "description": "24 blocks of width 1024.",
            "parameters": 354_823_168,
            "num_layers": 24,
            "hidden_dim": 1024,
            "num_heads": 16,
        },
        "gpt2_large": {
            "description": "36 blocks of width 1280.",
            "parameters": 774_030_080,
            "num_layers": 36,
            "hidden_dim": 1280,
            "num_heads": 20,
        },
        "gpt2_xl": {
            "description": "48 blocks of width 1600.",
            "parameters": 1_557_611_200,
            "num_layers": 48,
            "hidden_dim": 1600,
            "num_heads": 25,
        },
        # Brown et al. 2020, arXiv:2005.14165, Table 2.1, whose widths of XL and 13B are
        # no multiples of their heads.
        **{
            f"gpt3_{size}": {
                "description": f"{layers} blocks of width {width}.",
                "parameters": parameters,
                "max_length": 2048,
                "num_layers": layers,
                "hidden_dim": width,
                "num_heads": heads,
            }
            for size, layers, width, heads, parameters in (
                ("small", 12, 768, 12, 125_226_240),
                ("medium", 24, 1024, 16, 355_871_744),
                ("large", 24, 1536, 16, 760_300_032),
                ("xl", 24, 2048, 16, 1_315_723_264),
                ("2.7b", 32, 2560, 32, 2_651_553_280),
                ("6.7b", 32, 4096, 32, 6_658_404_352),
                ("13b", 40, 5120, 40, 12_853_386_240),
                ("175b", 96, 12288, 96, 174_604_259_328),
            )
        },
        # Shoeybi et al. 2019, arXiv:1909.08053, Table 2, with the vocabulary of GPT-2
        # filled up to 51,200.
        **{
            f"megatron_gpt_{size}": {
                "description": f"{layers} blocks of width {width}.",
                "parameters": parameters,
                "vocabulary_size": 51200,
                "num_layers": layers,
                "hidden_dim": width,
                "num_heads": heads,
            }
            for size, layers, width, heads, parameters in (
                ("1.2b", 40, 1536, 16, 1_213_479_936),
                ("2.5b", 54, 1920, 20, 2_490_408_960),
                ("4.2b", 64, 2304, 24, 4_199_109_120),
                ("8.3b", 72, 3072, 32, 8_317_040_640),
            )
        },
    }
    families = (GPT2_FAMILY,)

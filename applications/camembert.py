"""CamemBERT: RoBERTa, trained on French.

Martin et al. 2020, arXiv:1911.03894.
"""

import keras

from keras_attention.applications.roberta import RobertaFigure
from keras_attention.checkpoints.families.roberta import CAMEMBERT_FAMILY


@keras.saving.register_keras_serializable("keras_attention")
class CamemBERT(RobertaFigure):
    """Reads French texts, as RoBERTa reads English ones; see there.

    Martin et al. 2020, Section 4: the model of RoBERTa, with 32,005 words found by
    SentencePiece. It has the arguments of `RoBERTa`.

        model = CamemBERT.from_preset("hf://almanach/camembert-base", num_classes=2)

    Example:

    >>> model = CamemBERT(
    ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ... )
    >>> inputs = {"token_ids": np.array([[5, 7, 6]]), "padding_mask": np.ones((1, 3))}
    >>> model.predict(inputs, verbose=0)["tokens"].shape
    (1, 3, 8)
    """

    # Section 4.2. Parameters without head, with the pooler that files have.
    presets_table = {
        "camembert_base": {
            "description": "12 blocks of width 768.",
            "parameters": 110_621_952,
        },
        "camembert_large": {
            "description": "24 blocks of width 1024.",
            "parameters": 336_661_504,
            "num_layers": 24,
            "hidden_dim": 1024,
            "num_heads": 16,
            "mlp_dim": 4096,
        },
    }
    defaults = {"vocabulary_size": 32005}
    families = (CAMEMBERT_FAMILY,)

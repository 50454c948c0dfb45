"""The families of published vision models: what `test_vision.py` runs."""

import pytest
import vision_stages as stages
import vision_tokens as tokens

ROWS = [
    tokens.DEIT,
    tokens.DEIT3,
    tokens.HYBRID,
    tokens.DINOV2,
    tokens.DINOV2_WITH_REGISTERS,
    tokens.BEIT,
    stages.RESNET,
    stages.CONVNEXT,
    stages.CONVNEXT_V2,
    stages.SWIN,
    stages.SWIN_V2,
]
CASES = [(row, head) for row in ROWS for head in row.heads]
TIMM_CASES = [(row, case) for row in ROWS for case in row.timm]
# One row for each model.
ONCE = list({row.model: row for row in reversed(ROWS)}.values())[::-1]


def named(rows):
    """Rows of the table by the name of their model."""
    names = [row.published or row.model.__name__ for row in rows]
    return pytest.mark.parametrize("row", rows, ids=names)

"""The equations of attention, as functions on tensors."""

from keras_attention.backend.projection import project as project
from keras_attention.backend.projection import project_to_table as project_to_table
from keras_attention.ops.attention import attend as attend
from keras_attention.ops.attention import use_implementation as use_implementation
from keras_attention.ops.explicit import additive_scores as additive_scores
from keras_attention.ops.explicit import attention_weights as attention_weights
from keras_attention.ops.explicit import dot_product_scores as dot_product_scores
from keras_attention.ops.masks import block_mask as block_mask
from keras_attention.ops.masks import causal_mask as causal_mask
from keras_attention.ops.masks import combine_masks as combine_masks
from keras_attention.ops.masks import length_mask as length_mask
from keras_attention.ops.masks import lift_mask as lift_mask
from keras_attention.ops.masks import padding_mask as padding_mask
from keras_attention.ops.masks import prefix_mask as prefix_mask
from keras_attention.ops.masks import window_mask as window_mask
from keras_attention.ops.positions import alibi_bias as alibi_bias
from keras_attention.ops.positions import alibi_slopes as alibi_slopes
from keras_attention.ops.positions import apply_rotary as apply_rotary
from keras_attention.ops.positions import (
    relative_position_buckets as relative_position_buckets,
)
from keras_attention.ops.positions import (
    relative_position_index as relative_position_index,
)
from keras_attention.ops.positions import rotary_angles as rotary_angles
from keras_attention.ops.positions import sinusoidal_positions as sinusoidal_positions
from keras_attention.ops.relative import relative_shift as relative_shift
from keras_attention.ops.relative import RelativeBias as RelativeBias
from keras_attention.ops.sampling import sample_bilinear as sample_bilinear

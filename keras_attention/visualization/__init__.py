"""Seeing attention: figures and pages that need no network."""

from keras_attention.visualization.alignment import show_alignment as show_alignment
from keras_attention.visualization.attribution import head_statistics as head_statistics
from keras_attention.visualization.attribution import relevance as relevance
from keras_attention.visualization.attribution import rollout as rollout
from keras_attention.visualization.heads import show_heads as show_heads
from keras_attention.visualization.maps import attention_maps as attention_maps
from keras_attention.visualization.maps import AttentionExtractor as AttentionExtractor
from keras_attention.visualization.maps import AttentionMap as AttentionMap
from keras_attention.visualization.maps import AttentionMaps as AttentionMaps
from keras_attention.visualization.maps import recording as recording
from keras_attention.visualization.pages import save_views as save_views
from keras_attention.visualization.patches import show_patches as show_patches
from keras_attention.visualization.positions import show_positions as show_positions
from keras_attention.visualization.receptive_fields import (
    field_distance as field_distance,
)
from keras_attention.visualization.receptive_fields import (
    receptive_field as receptive_field,
)
from keras_attention.visualization.view import View as View
from keras_attention.visualization.windows import show_windows as show_windows
from keras_attention.visualization.words import show_captions as show_captions
from keras_attention.visualization.words import show_words as show_words

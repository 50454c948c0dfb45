"""Seeing attention: figures and pages that need no network."""

from keras_attention.visualization.alignment import show_alignment as show_alignment
from keras_attention.visualization.heads import show_heads as show_heads
from keras_attention.visualization.patches import show_patches as show_patches
from keras_attention.visualization.positions import show_positions as show_positions
from keras_attention.visualization.view import View as View
from keras_attention.visualization.words import show_captions as show_captions
from keras_attention.visualization.words import show_words as show_words

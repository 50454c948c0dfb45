"""Seeing attention: figures and pages that need no network."""

from keras_attention.visualization.view import View as View
from keras_attention.visualization.words import show_captions as show_captions
from keras_attention.visualization.words import show_words as show_words

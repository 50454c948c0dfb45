"""Writing one token after the other: caches, samplers, the decode loop."""

from keras_attention.generation.beam_search import beam_search as beam_search

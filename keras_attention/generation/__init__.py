"""Writing one token after the other: caches, samplers, the decode loop."""

from keras_attention.generation.beam_search import beam_search as beam_search
from keras_attention.generation.decode import decode as decode
from keras_attention.generation.samplers import BeamSearch as BeamSearch
from keras_attention.generation.samplers import Greedy as Greedy
from keras_attention.generation.samplers import RandomSampler as RandomSampler
from keras_attention.generation.samplers import Sampler as Sampler
from keras_attention.generation.text_generator import TextGenerator as TextGenerator

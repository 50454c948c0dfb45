"""Every attention system as Keras 3 layers and models, on three backends."""

from keras_attention import applications as applications
from keras_attention import checkpoints as checkpoints
from keras_attention import data as data
from keras_attention import generation as generation
from keras_attention import images as images
from keras_attention import layers as layers
from keras_attention import ops as ops
from keras_attention import tokenizers as tokenizers
from keras_attention import training as training
from keras_attention import visualization as visualization

__version__ = "0.1.0"

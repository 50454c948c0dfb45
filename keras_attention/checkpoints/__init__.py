"""Reading and writing published checkpoint files."""

from keras_attention.checkpoints.family import Family as Family
from keras_attention.checkpoints.fields import Field as Field
from keras_attention.checkpoints.files import is_published as is_published
from keras_attention.checkpoints.files import read_config as read_config
from keras_attention.checkpoints.files import write_config as write_config
from keras_attention.checkpoints.hub import download as download
from keras_attention.checkpoints.replacing import finish_replacing as finish_replacing
from keras_attention.checkpoints.replacing import replace_files as replace_files
from keras_attention.checkpoints.rules import Rule as Rule
from keras_attention.checkpoints.tensors import open_tensors as open_tensors
from keras_attention.checkpoints.tensors import write_tensors as write_tensors
from keras_attention.checkpoints.weights import load_weights as load_weights
from keras_attention.checkpoints.weights import named_layers as named_layers
from keras_attention.checkpoints.weights import named_weights as named_weights
from keras_attention.checkpoints.weights import save_weights as save_weights

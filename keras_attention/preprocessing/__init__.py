"""Text and images in: vocabularies, transforms, data sets."""

from keras_attention.preprocessing.openmoji import OpenMoji as OpenMoji
from keras_attention.preprocessing.openmoji import openmoji as openmoji
from keras_attention.preprocessing.openmoji import OPENMOJI_CREDIT as OPENMOJI_CREDIT
from keras_attention.preprocessing.vocabulary import split_words as split_words
from keras_attention.preprocessing.vocabulary import Vocabulary as Vocabulary

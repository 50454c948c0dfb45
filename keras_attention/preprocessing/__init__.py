"""Text and images in: vocabularies, transforms, data sets."""

from keras_attention.preprocessing.captions import CaptionDataset as CaptionDataset
from keras_attention.preprocessing.captions import load_captions as load_captions
from keras_attention.preprocessing.images import load_image as load_image
from keras_attention.preprocessing.openmoji import OpenMoji as OpenMoji
from keras_attention.preprocessing.openmoji import openmoji as openmoji
from keras_attention.preprocessing.openmoji import OPENMOJI_CREDIT as OPENMOJI_CREDIT
from keras_attention.preprocessing.vocabulary import split_words as split_words
from keras_attention.preprocessing.vocabulary import Vocabulary as Vocabulary

"""Text and images in: vocabularies, transforms, data sets."""

from keras_attention.preprocessing.captions import CaptionDataset as CaptionDataset
from keras_attention.preprocessing.captions import load_captions as load_captions
from keras_attention.preprocessing.cmudict import cmudict as cmudict
from keras_attention.preprocessing.cmudict import Pronunciations as Pronunciations
from keras_attention.preprocessing.image_processor import (
    ImageProcessor as ImageProcessor,
)
from keras_attention.preprocessing.image_processor_files import (
    load_image_processor as load_image_processor,
)
from keras_attention.preprocessing.images import load_image as load_image
from keras_attention.preprocessing.marian_tokenizer import (
    MarianTokenizer as MarianTokenizer,
)
from keras_attention.preprocessing.openmoji import OpenMoji as OpenMoji
from keras_attention.preprocessing.openmoji import openmoji as openmoji
from keras_attention.preprocessing.openmoji import OPENMOJI_CREDIT as OPENMOJI_CREDIT
from keras_attention.preprocessing.published_tokenizer import (
    PublishedTokenizer as PublishedTokenizer,
)
from keras_attention.preprocessing.sentence_pair_dataset import (
    SentencePairDataset as SentencePairDataset,
)
from keras_attention.preprocessing.sentence_pairs import (
    load_sentence_pairs as load_sentence_pairs,
)
from keras_attention.preprocessing.subwords import SubwordTokenizer as SubwordTokenizer
from keras_attention.preprocessing.tokenizer_training import (
    train_byte_pairs as train_byte_pairs,
)
from keras_attention.preprocessing.tokenizer_training import (
    train_word_pieces as train_word_pieces,
)
from keras_attention.preprocessing.toys import AlignedPair as AlignedPair
from keras_attention.preprocessing.toys import human_dates as human_dates
from keras_attention.preprocessing.toys import number_words as number_words
from keras_attention.preprocessing.vocabulary import split_words as split_words
from keras_attention.preprocessing.vocabulary import Vocabulary as Vocabulary

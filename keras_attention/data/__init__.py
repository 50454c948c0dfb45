"""Data sets: what they hold, how they are read, and how they are corrupted to learn."""

from keras_attention.data.augmented_image_dataset import (
    AugmentedImageDataset as AugmentedImageDataset,
)
from keras_attention.data.captions import CaptionDataset as CaptionDataset
from keras_attention.data.captions import load_captions as load_captions
from keras_attention.data.cmudict import cmudict as cmudict
from keras_attention.data.cmudict import Pronunciations as Pronunciations
from keras_attention.data.corruption import mask_tokens as mask_tokens
from keras_attention.data.corruption import permute_tokens as permute_tokens
from keras_attention.data.epoch_dataset import FollowEpochs as FollowEpochs
from keras_attention.data.language_model_dataset import (
    LanguageModelDataset as LanguageModelDataset,
)
from keras_attention.data.masked_image_dataset import mask_patches as mask_patches
from keras_attention.data.masked_image_dataset import (
    MaskedImageDataset as MaskedImageDataset,
)
from keras_attention.data.masked_language_model_dataset import (
    MaskedLanguageModelDataset as MaskedLanguageModelDataset,
)
from keras_attention.data.openmoji import OpenMoji as OpenMoji
from keras_attention.data.openmoji import openmoji as openmoji
from keras_attention.data.openmoji import OPENMOJI_CREDIT as OPENMOJI_CREDIT
from keras_attention.data.permutation_language_model_dataset import (
    PermutationLanguageModelDataset as PermutationLanguageModelDataset,
)
from keras_attention.data.sentence_pair_dataset import (
    SentencePairDataset as SentencePairDataset,
)
from keras_attention.data.sentence_pairs import (
    load_sentence_pairs as load_sentence_pairs,
)
from keras_attention.data.toys import AlignedPair as AlignedPair
from keras_attention.data.toys import human_dates as human_dates
from keras_attention.data.toys import number_words as number_words

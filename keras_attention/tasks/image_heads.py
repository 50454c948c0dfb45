"""The head of models that read pictures.

Letters: B pictures, D width of what stands for one, C classes.
"""

import dataclasses

from keras_attention.tasks.classification_heads import Classification
from keras_attention.tasks.task_head import CLASSES
from keras_attention.tasks.task_head import count_classes
from keras_attention.tasks.task_head import dense


@dataclasses.dataclass
class EncodedImage:
    """What an encoder made of pictures.

    Args:
        pooled: `(B, D)`.
        num_classes: C.
    """

    pooled: object
    num_classes: int


class ImageClassification(Classification):
    """One of several classes for each picture: logits `(B, C)`.

    Dosovitskiy et al. 2021, arXiv:2010.11929, Equation 4.
    """

    layers = CLASSES

    def attach(self, encoded):
        return dense(encoded.pooled, encoded.num_classes, "classifier")

    def take_labels(self, model, examples, labels):
        return examples, labels

    def count_classes(self, num_classes, class_names):
        """Any number: one logit is a picture's score."""
        return count_classes(num_classes, class_names, self.num_classes)


IMAGE_CLASSIFICATION = ImageClassification()

"""All heads of models that read texts, by name."""

from keras_attention.tasks.classification_heads import Classification
from keras_attention.tasks.classification_heads import MultiLabel
from keras_attention.tasks.classification_heads import MultipleChoice
from keras_attention.tasks.classification_heads import Regression
from keras_attention.tasks.classification_heads import TokenClassification
from keras_attention.tasks.pretraining_heads import Bare
from keras_attention.tasks.pretraining_heads import LanguageModel
from keras_attention.tasks.pretraining_heads import MaskedLanguageModel
from keras_attention.tasks.pretraining_heads import NextSentence
from keras_attention.tasks.pretraining_heads import NextToken
from keras_attention.tasks.pretraining_heads import PermutationLanguageModel
from keras_attention.tasks.pretraining_heads import Pretraining
from keras_attention.tasks.pretraining_heads import ReplacedTokenDetection
from keras_attention.tasks.pretraining_heads import SentenceOrder
from keras_attention.tasks.question_answering import QuestionAnswering
from keras_attention.tasks.question_answering import QuestionAnsweringBeamSearch

TEXT_HEADS = {
    head.name: head
    for head in (
        Bare(),
        NextToken(),
        LanguageModel(),
        PermutationLanguageModel(),
        MaskedLanguageModel(),
        ReplacedTokenDetection(),
        NextSentence(),
        SentenceOrder(),
        Pretraining(),
        Classification(),
        Regression(),
        MultiLabel(),
        TokenClassification(),
        QuestionAnswering(),
        QuestionAnsweringBeamSearch(),
        MultipleChoice(),
    )
}
# What every encoder of texts can have.
ENCODER_HEADS = (
    None,
    "masked_language_model",
    "classification",
    "regression",
    "multi_label",
    "token_classification",
    "question_answering",
    "multiple_choice",
)

"""What fit needs beyond Keras: losses and metrics that know padding."""

from keras_attention.training.bleu import bleu as bleu
from keras_attention.training.time_budget import TimeBudget as TimeBudget
from keras_attention.training.token_losses import token_losses as token_losses
from keras_attention.training.token_losses import TokenCrossentropy as TokenCrossentropy
from keras_attention.training.token_metrics import Perplexity as Perplexity
from keras_attention.training.token_metrics import SequenceAccuracy as SequenceAccuracy
from keras_attention.training.token_metrics import TokenAccuracy as TokenAccuracy

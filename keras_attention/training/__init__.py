"""What fit needs beyond Keras: losses, metrics and scores of texts, schedules."""

from keras_attention.training.binary_losses import (
    TokenBinaryCrossentropy as TokenBinaryCrossentropy,
)
from keras_attention.training.bleu import bleu as bleu
from keras_attention.training.chrf import chrf as chrf
from keras_attention.training.error_rates import edit_distances as edit_distances
from keras_attention.training.error_rates import (
    nearest_references as nearest_references,
)
from keras_attention.training.error_rates import (
    sequence_error_rate as sequence_error_rate,
)
from keras_attention.training.error_rates import token_error_rate as token_error_rate
from keras_attention.training.layer_decay import layer_decay as layer_decay
from keras_attention.training.layer_decay import LayerDecay as LayerDecay
from keras_attention.training.lora import add_lora as add_lora
from keras_attention.training.lora import load_lora as load_lora
from keras_attention.training.lora import merge_lora as merge_lora
from keras_attention.training.lora import save_lora as save_lora
from keras_attention.training.memory import forecast_memory as forecast_memory
from keras_attention.training.memory import MemoryForecast as MemoryForecast
from keras_attention.training.schedules import InverseSquareRoot as InverseSquareRoot
from keras_attention.training.text_scores import TextScores as TextScores
from keras_attention.training.time_budget import TimeBudget as TimeBudget
from keras_attention.training.token_losses import token_losses as token_losses
from keras_attention.training.token_losses import TokenCrossentropy as TokenCrossentropy
from keras_attention.training.token_metrics import Perplexity as Perplexity
from keras_attention.training.token_metrics import SequenceAccuracy as SequenceAccuracy
from keras_attention.training.token_metrics import TokenAccuracy as TokenAccuracy

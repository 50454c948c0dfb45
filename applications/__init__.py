"""Ready models, one file per paper, imported as `keras_attention.applications`."""

if __name__ != "keras_attention.applications":
    # Under a second name every class would be registered with Keras twice.
    raise ImportError(
        f"The applications were imported as {__name__!r}, expected "
        "'keras_attention.applications'. Install the package with "
        "`pip install -e .` and write `import keras_attention.applications`."
    )

from keras_attention.applications.albert import ALBERT as ALBERT
from keras_attention.applications.application import Application as Application
from keras_attention.applications.application import from_preset as from_preset
from keras_attention.applications.application import presets as presets
from keras_attention.applications.attention_seq2seq import (
    AttentionSeq2Seq as AttentionSeq2Seq,
)
from keras_attention.applications.beit import BEiT as BEiT
from keras_attention.applications.bert import BERT as BERT
from keras_attention.applications.camembert import CamemBERT as CamemBERT
from keras_attention.applications.convnext import ConvNeXt as ConvNeXt
from keras_attention.applications.deberta import DeBERTa as DeBERTa
from keras_attention.applications.deberta import DeBERTaV2 as DeBERTaV2
from keras_attention.applications.deit import DeiT as DeiT
from keras_attention.applications.deit import DeiT3 as DeiT3
from keras_attention.applications.dinov2 import DINOv2 as DINOv2
from keras_attention.applications.distilbert import DistilBERT as DistilBERT
from keras_attention.applications.electra import ELECTRA as ELECTRA
from keras_attention.applications.gpt import GPT as GPT
from keras_attention.applications.gpt2 import GPT2 as GPT2
from keras_attention.applications.gpt_neo import GPTNeo as GPTNeo
from keras_attention.applications.hybrid_vit import HybridViT as HybridViT
from keras_attention.applications.image_figure import ImageFigure as ImageFigure
from keras_attention.applications.lstmn_language_model import (
    LSTMNLanguageModel as LSTMNLanguageModel,
)
from keras_attention.applications.megatron_bert import MegatronBERT as MegatronBERT
from keras_attention.applications.resnet import ResNet as ResNet
from keras_attention.applications.rnn_captioner import RNNCaptioner as RNNCaptioner
from keras_attention.applications.rnn_seq2seq import RNNSeq2Seq as RNNSeq2Seq
from keras_attention.applications.roberta import RoBERTa as RoBERTa
from keras_attention.applications.sagan import SAGAN as SAGAN
from keras_attention.applications.show_attend_tell import (
    ShowAttendTell as ShowAttendTell,
)
from keras_attention.applications.swin import Swin as Swin
from keras_attention.applications.transformer import Transformer as Transformer
from keras_attention.applications.transformer_captioner import (
    TransformerCaptioner as TransformerCaptioner,
)
from keras_attention.applications.transformer_xl import TransformerXL as TransformerXL
from keras_attention.applications.vision_encoder_decoder import (
    VisionEncoderDecoder as VisionEncoderDecoder,
)
from keras_attention.applications.vit import ViT as ViT
from keras_attention.applications.vit_figure import ViTFigure as ViTFigure
from keras_attention.applications.xlnet import XLNet as XLNet

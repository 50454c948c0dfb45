"""The layers of attention, one file each; no other place holds weights."""

from keras_attention.layers.additive_attention import (
    AdditiveAttention as AdditiveAttention,
)
from keras_attention.layers.attention_caption_decoder import (
    AttentionCaptionDecoder as AttentionCaptionDecoder,
)
from keras_attention.layers.attention_pooling import (
    AttentionPooling as AttentionPooling,
)
from keras_attention.layers.bahdanau_decoder import BahdanauDecoder as BahdanauDecoder
from keras_attention.layers.channel_bias import ChannelBias as ChannelBias
from keras_attention.layers.class_token import ClassToken as ClassToken
from keras_attention.layers.continuous_position_bias import (
    ContinuousPositionBias2D as ContinuousPositionBias2D,
)
from keras_attention.layers.convolution import BiTBlock as BiTBlock
from keras_attention.layers.convolution import (
    ConditionalBatchNormalization as ConditionalBatchNormalization,
)
from keras_attention.layers.convolution import ConvNeXtBlock as ConvNeXtBlock
from keras_attention.layers.convolution import DeformableConv2D as DeformableConv2D
from keras_attention.layers.convolution import GlobalResponseNorm as GlobalResponseNorm
from keras_attention.layers.convolution import ResNetBlock as ResNetBlock
from keras_attention.layers.convolution import (
    SpectralNormalization as SpectralNormalization,
)
from keras_attention.layers.deformable_attention import (
    DeformableAttention as DeformableAttention,
)
from keras_attention.layers.disentangled_scores import (
    DisentangledScores as DisentangledScores,
)
from keras_attention.layers.disentangled_scores import DistanceTable as DistanceTable
from keras_attention.layers.dot_product_attention import (
    DotProductAttention as DotProductAttention,
)
from keras_attention.layers.drop_path import DropPath as DropPath
from keras_attention.layers.feed_forward import FeedForward as FeedForward
from keras_attention.layers.gaussian_self_attention_2d import (
    GaussianSelfAttention2D as GaussianSelfAttention2D,
)
from keras_attention.layers.grid_encoder import grid_encoder as grid_encoder
from keras_attention.layers.layer_scale import LayerScale as LayerScale
from keras_attention.layers.low_rank_adapter import LowRankAdapter as LowRankAdapter
from keras_attention.layers.lstmn import LSTMN as LSTMN
from keras_attention.layers.luong_attention import LuongAttention as LuongAttention
from keras_attention.layers.luong_decoder import LuongDecoder as LuongDecoder
from keras_attention.layers.mask_token import MaskToken as MaskToken
from keras_attention.layers.multi_head_attention import (
    MultiHeadAttention as MultiHeadAttention,
)
from keras_attention.layers.multi_head_self_attention import (
    MultiHeadSelfAttention as MultiHeadSelfAttention,
)
from keras_attention.layers.neighbor_convolution import (
    NeighborConvolution as NeighborConvolution,
)
from keras_attention.layers.patch_embedding import PatchEmbedding as PatchEmbedding
from keras_attention.layers.patch_merging import PatchMerging as PatchMerging
from keras_attention.layers.positional_embedding import (
    PositionalEmbedding as PositionalEmbedding,
)
from keras_attention.layers.relative_position_bias import AlibiBias as AlibiBias
from keras_attention.layers.relative_position_bias import (
    RelativePositionBias as RelativePositionBias,
)
from keras_attention.layers.relative_position_bias import (
    RelativePositionBias2D as RelativePositionBias2D,
)
from keras_attention.layers.rnn_caption_decoder import (
    RNNCaptionDecoder as RNNCaptionDecoder,
)
from keras_attention.layers.rnn_decoder import RNNDecoder as RNNDecoder
from keras_attention.layers.rnn_encoder import RNNEncoder as RNNEncoder
from keras_attention.layers.rotary_embedding import RotaryEmbedding as RotaryEmbedding
from keras_attention.layers.scaled_dot_product import (
    ScaledDotProduct as ScaledDotProduct,
)
from keras_attention.layers.self_attention_2d import SelfAttention2D as SelfAttention2D
from keras_attention.layers.text_embedding import TextEmbedding as TextEmbedding
from keras_attention.layers.tied_embedding import TiedEmbedding as TiedEmbedding
from keras_attention.layers.token_and_position_embedding import (
    TokenAndPositionEmbedding as TokenAndPositionEmbedding,
)
from keras_attention.layers.transformer_decoder import (
    TransformerDecoder as TransformerDecoder,
)
from keras_attention.layers.transformer_decoder_block import (
    TransformerDecoderBlock as TransformerDecoderBlock,
)
from keras_attention.layers.transformer_encoder import (
    TransformerEncoder as TransformerEncoder,
)
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock as TransformerEncoderBlock,
)
from keras_attention.layers.window_attention import WindowAttention as WindowAttention

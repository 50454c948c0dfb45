"""The layers of convolutional networks: what attention is measured against."""

from keras_attention.layers.convolution.bit_block import BiTBlock as BiTBlock
from keras_attention.layers.convolution.conditional_batch_normalization import (
    ConditionalBatchNormalization as ConditionalBatchNormalization,
)
from keras_attention.layers.convolution.convnext_block import (
    ConvNeXtBlock as ConvNeXtBlock,
)
from keras_attention.layers.convolution.convnext_block import (
    GlobalResponseNorm as GlobalResponseNorm,
)
from keras_attention.layers.convolution.deformable_convolution import (
    DeformableConv2D as DeformableConv2D,
)
from keras_attention.layers.convolution.resnet_block import ResNetBlock as ResNetBlock
from keras_attention.layers.convolution.spectral_normalization import (
    SpectralNormalization as SpectralNormalization,
)

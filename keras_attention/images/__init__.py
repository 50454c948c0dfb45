"""Pictures in: from files to the arrays that models read."""

from keras_attention.images.image_processor import ImageProcessor as ImageProcessor
from keras_attention.images.image_processor_files import (
    load_image_processor as load_image_processor,
)
from keras_attention.images.images import load_image as load_image

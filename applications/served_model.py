"""Models for other runtimes and with small weights: `export` and `quantize`."""

import warnings

from keras_attention.backend.exporting import export_model
from keras_attention.backend.exporting import input_signature_of
from keras_attention.layers.quantization import check_mode
from keras_attention.training.lora import forget_programs


class ServedModel:
    """A functional model that becomes a program, or small.

    Abstract: `Application` derives from it.
    """

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        **kwargs,
    ):
        """Writes the model as a program for another runtime.

        The sizes of batches and texts are not known in it. On PyTorch, where recurrent
        networks are walked step by step, theirs must be: see `input_signature`.

        Args:
            filepath: Where it goes: a folder for `"tf_saved_model"`, else a file with
                the ending of the format.
            format: `"tf_saved_model"` (JAX, TensorFlow), `"litert"`, `.tflite`
                (TensorFlow), `"openvino"`, `.xml` (PyTorch, TensorFlow), `"onnx"`,
                `.onnx` (PyTorch), or `"torch"`, `.pt2` (PyTorch).
            verbose: Whether to print what was written.
            input_signature: `keras.InputSpec`s in the structure of the inputs, in place
                of theirs, where a size shall be fixed.
            **kwargs: Others of `keras.Model.export`.

        Raises:
            ValueError: The backend cannot write the format; the error says which can.
        """
        signature = input_signature or input_signature_of(self)
        export_model(self, filepath, format, signature, verbose, **kwargs)

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """Makes matrices and tables of tokens of 8 or 4 bits a weight.

        Norms, biases, tables of positions, the patches' convolution and the recurrent
        layers of Keras stay as they are. `.keras` files know what is quantized, and a
        model that was quantized alike reads `.weights.h5` files.

        Args:
            mode: `"int8"`, which also rounds the inputs of a product to 8 bits, or
                `"int4"`, in groups of 128 weights.
            config: A `keras.quantizers.Int8QuantizationConfig` or
                `keras.quantizers.Int4QuantizationConfig`, in place of a mode; with
                `activation_quantizer=None` only weights are rounded.
            filters: Which layers: a regular expression for their names, a list of them,
                or a function of a layer. The matrices of a layer of this library are
                those of the layer `kernels` in it, whose `path` says where it is.

        Raises:
            ValueError: Another mode, or a layer is quantized already.
        """
        check_mode(config)  # which Keras makes of a mode
        with warnings.catch_warnings():  # Keras warns of each layer that it leaves out
            warnings.filterwarnings("ignore", "Layer .* does not have a `quantize`")
            super().quantize(mode, config, filters, **kwargs)
        forget_programs(self)

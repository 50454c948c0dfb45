"""Batches from Python, as TensorFlow reads them."""

import keras


def to_tensorflow_dataset(iterate, example, count=None, same_size=False):
    """A `tf.data.Dataset` of batches, each of its own size.

    Args:
        iterate: Function without arguments that begins to yield batches anew.
        example: A batch: nested tuples and dicts of NumPy arrays.
        count: How many batches there are, or `None`.
        same_size: Whether all axes but the first are as in the example.

    Returns:
        The data set.

    Example:

    >>> import tensorflow
    >>> batches = [(np.zeros((2, 3)),), (np.zeros((2, 5)),)]
    >>> dataset = to_tensorflow_dataset(lambda: iter(batches), batches[0], count=2)
    >>> [batch[0].shape[1] for batch in dataset.as_numpy_iterator()]
    [3, 5]
    """
    import tensorflow as tf

    def spec_of(array):
        sizes = array.shape[1:] if same_size else (None,) * (array.ndim - 1)
        return tf.TensorSpec((None, *sizes), array.dtype)

    signature = keras.tree.map_structure(spec_of, example)
    dataset = tf.data.Dataset.from_generator(iterate, output_signature=signature)
    if count is not None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(2)

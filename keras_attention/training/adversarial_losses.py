"""The hinge loss of generator and discriminator (Lim & Ye 2017; Miyato et al. 2018).

Zhang et al. 2019, arXiv:1805.08318, Equation 4. Letters: B pictures.
"""

from keras import ops

from keras_attention.backend.products import at_least_float32


def discriminator_hinge_loss(real_scores, generated_scores):
    """What a discriminator learns: above 1 for real pictures, below -1 for others.

        mean(relu(1 - real)) + mean(relu(1 + generated))

    Args:
        real_scores: `(B, 1)`.
        generated_scores: `(B, 1)`.

    Returns:
        A scalar, float32 at least.

    Example:

    >>> float(discriminator_hinge_loss([[0.5], [3.0]], [[-2.0]]))
    0.25
    """
    real = ops.mean(ops.relu(1 - _wide(real_scores)))
    return real + ops.mean(ops.relu(1 + _wide(generated_scores)))


def generator_hinge_loss(generated_scores):
    """What a generator learns: that its pictures get a high score.

    Args:
        generated_scores: `(B, 1)`, of a discriminator that is not to change.

    Returns:
        A scalar, float32 at least.

    Example:

    >>> float(generator_hinge_loss([[0.5], [3.5]]))
    -2.0
    """
    return -ops.mean(_wide(generated_scores))


def _wide(scores):
    scores = ops.convert_to_tensor(scores)
    return ops.cast(scores, at_least_float32(scores.dtype))

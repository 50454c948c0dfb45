"""chrF, the share of short runs of characters that two texts have in common."""

from keras_attention.files import import_package
from keras_attention.training.bleu import reference_streams


def chrf(texts, references):
    """chrF of translations, computed by sacrebleu.

    Popović 2015: the F score, with recall counting twice, of runs of one to six
    characters. Unlike BLEU it knows endings, and needs no split into words.

    Args:
        texts: List of n strings.
        references: List of n strings, or of n lists of strings where several texts
            would be right.

    Returns:
        A number from 0 to 100.

    Raises:
        ValueError: There is not one reference, or list of them, for each text.
        ImportError: sacrebleu is not installed.

    Example:

    >>> round(chrf(["a red cat"], ["a red cat"]), 1)
    100.0
    """
    streams = reference_streams(texts, references)
    sacrebleu = import_package("sacrebleu", "sacrebleu", "text", "chrF")
    return sacrebleu.corpus_chrf(list(texts), streams).score

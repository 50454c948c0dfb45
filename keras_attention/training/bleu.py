"""BLEU, the share of short runs of words that two texts have in common."""

from keras_attention.files import import_package


def bleu(captions, references, tokenize="none"):
    """BLEU-4 of captions or translations, computed by sacrebleu.

    Papineni et al. 2002. Upper case counts.

    Args:
        captions: List of n strings.
        references: List of n strings, or of n lists of strings where several captions
            would be right.
        tokenize: How sacrebleu finds the words: `"none"` takes those between spaces,
            `"13a"` splits off punctuation, as figures of translations are printed
            (Post 2018, arXiv:1804.08771).

    Returns:
        A number from 0 to 100.

    Raises:
        ValueError: There is not one reference, or list of them, for each caption.
        ImportError: sacrebleu is not installed.

    Example:

    >>> round(bleu(["a red cat on a mat"], ["a red cat on a mat"]), 1)
    100.0
    """
    streams = reference_streams(captions, references, "caption")
    sacrebleu = import_package("sacrebleu", "sacrebleu", "text", "BLEU")
    score = sacrebleu.corpus_bleu(
        list(captions), streams, tokenize=tokenize, force=True
    )
    return score.score


def reference_streams(texts, references, noun="text"):
    """The references as sacrebleu takes them: the first of all texts, the second, ...

    Args:
        texts: List of n strings.
        references: List of n strings, or of n lists of strings.
        noun: How a text is called in the message.

    Returns:
        List of lists of n strings, None where a text has fewer references.
    """
    if len(texts) != len(references) or not len(texts):
        raise ValueError(
            f"There must be one reference, or one list of them, for each {noun}. "
            f"Received: {len(texts)} {noun}s, {len(references)} references."
        )
    references = [[r] if isinstance(r, str) else list(r) for r in references]
    most = max(len(r) for r in references)
    return [[r[i] if i < len(r) else None for r in references] for i in range(most)]

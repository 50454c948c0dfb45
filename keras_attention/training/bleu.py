"""BLEU, the share of short runs of words that two texts have in common."""


def bleu(captions, references):
    """BLEU-4 of captions, computed by sacrebleu.

    Papineni et al. 2002. The words are those between spaces, upper case counts.

    Args:
        captions: List of n strings.
        references: List of n strings, or of n lists of strings where several captions
            would be right.

    Returns:
        A number from 0 to 100.

    Raises:
        ValueError: There is not one reference, or list of them, for each caption.
        ImportError: sacrebleu is not installed.

    Example:

    >>> round(bleu(["a red cat on a mat"], ["a red cat on a mat"]), 1)
    100.0
    """
    if len(captions) != len(references) or not len(captions):
        raise ValueError(
            "There must be one reference, or one list of them, for each caption. "
            f"Received: {len(captions)} captions, {len(references)} references."
        )
    try:
        import sacrebleu
    except ImportError:
        raise ImportError(
            'BLEU needs sacrebleu. Install it with: pip install "keras-attention[text]"'
        ) from None
    references = [[r] if isinstance(r, str) else list(r) for r in references]
    most = max(len(r) for r in references)
    # sacrebleu takes the first references of all captions, then the second, ...
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
    score = sacrebleu.corpus_bleu(list(captions), streams, tokenize="none", force=True)
    return score.score

"""Several views on one page."""

import html

from keras_attention.files import replace_file
from keras_attention.visualization.view import writable

STYLE = (
    "body { font: 16px system-ui, sans-serif; max-width: 60em; margin: 2em auto; "
    "padding: 0 1em; color-scheme: light dark } h2 { font-size: 1em; margin: 2em 0 0 }"
)


def save_views(views, path, title="Attention", captions=None):
    """Writes several views as one file that needs no network, one below the other.

    Args:
        views: List of `View`.
        path: The file, such as `"alignments.html"`. Its folder must exist; a file of
            that name is replaced.
        title: Title of the page.
        captions: List of strings, one above each view; none by default.

    Returns:
        The path of the file, absolute.

    Raises:
        ValueError: There are no views or not as many captions, or `path` is a folder or
            lies in none.

    Example:

    >>> from keras_attention.visualization import show_alignment
    >>> view = show_alignment([[0.9, 0.1]], ["a", "cat"], ["chat"])
    >>> save_views([view, view], "alignments.html").name
    'alignments.html'
    """
    views = list(views)
    captions = [""] * len(views) if captions is None else list(captions)
    if not views or len(captions) != len(views):
        raise ValueError(
            "`views` must hold one view or more, and `captions` one text for each. "
            f"Received: {len(views)} views, {len(captions)} captions."
        )
    path = writable(path)
    parts = [
        f"<h2>{html.escape(caption)}</h2>\n{view._repr_html_()}"
        for view, caption in zip(views, captions, strict=True)
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    replace_file(path, page.encode())
    return path

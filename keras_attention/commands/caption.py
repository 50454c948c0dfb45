"""`python -m keras_attention caption`: what a captioner says of your own pictures."""

import csv
import os
import pathlib

import keras
import numpy as np

from keras_attention.applications import from_preset
from keras_attention.images import load_image
from keras_attention.images.grids import grid_of
from keras_attention.visualization import show_captions
from keras_attention.visualization import show_words
from keras_attention.visualization.view import writable

# Pixels of the longer side of a picture in the page, about.
SHOWN_SIDE = 384
# What is taken for a picture in a folder.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff", ".webp")
HEADER = ["image", "caption"]  # as `load_captions` reads it
TOGETHER = 16  # pictures that are captioned at a time


def main(options, parser):
    """Captions pictures, prints what the model says and writes the page.

    Args:
        options: What the parser of `keras_attention.__main__` read.
        parser: That parser, for messages.
    """
    folders = [path for path in options.pictures if os.path.isdir(path)]
    if folders or options.out is not None:
        return caption_folder(options, parser)
    try:
        page = writable(options.page)
        model = load_captioner(options.model)
        # As the model sees them, and in the same frame, but sharper, for the page.
        size = model.encoder.input_shape[1:3]
        factor = max(1, SHOWN_SIDE // max(size))
        sharp_size = tuple(factor * side for side in size)
        images = model.read_images(options.pictures)
        sharp = [load_image(path, sharp_size) for path in options.pictures]
    except (ValueError, OSError, ImportError) as error:
        parser.error(str(error))
    try:
        captions, log_probabilities, *weights = model.caption(
            images,
            beam_width=options.beam_width,
            return_log_probabilities=True,
            return_attention_scores=model.writer.steps.has_attention,
            prompt=options.prompt,
        )
    except ValueError as error:
        parser.error(str(error))
    for path, text, value in zip(
        options.pictures, captions, log_probabilities, strict=True
    ):
        print(f"{path}: {text or '(no words)'} (log-probability {value:.2f})")
    if not weights:
        print(f"{type(model).__name__} has no attention to show: no page is written.")
        return
    weights = by_place(model, weights[0])  # (B, T, H, W)
    pieces = [pieces_of(model, text, options.prompt) for text in captions]
    pieces = [piece[: weights.shape[1]] for piece in pieces]
    if len(sharp) == 1:
        view = show_words(sharp[0], pieces[0], weights[0, : len(pieces[0])])
    else:
        view = show_captions(sharp, pieces, weights)
    try:
        path = view.save(page)
    except OSError as error:
        parser.error(f"the page could not be written: {error}")
    print(f"Where it looked for each word: {path}")


def pieces_of(model, caption, prompt):
    """The tokens of a caption as they are read, without those of its prompt."""
    texts = [caption, *([prompt] if prompt else [])]
    ids, *begun = model.vocabulary.token_id_lists(texts)
    (pieces,) = model.vocabulary.tokens([ids[len(begun[0]) if begun else 0 :]])
    return pieces


def by_place(model, weights):
    """Weights `(B, T, H, W)`: the mean of layers and heads, where there are several."""
    if weights.ndim > 4:
        weights = weights.mean(axis=(0, 2))
    if weights.ndim == 3:  # tokens of a vision Transformer, patches at the end
        names = ("image_size", "patch_size")
        rows, columns = grid_of({name: getattr(model.encoder, name) for name in names})
        weights = weights[..., -rows * columns :].reshape(
            *weights.shape[:-1], rows, columns
        )
    return weights


def caption_folder(options, parser):
    """Captions all pictures of folders into a table, going on where it was stopped."""
    if options.out is None:
        parser.error(
            f"{options.pictures[0]!r} is a folder. Name the table for its captions: "
            "--out captions.csv"
        )
    table = pathlib.Path(options.out)
    pictures = find_pictures(options.pictures)
    if not pictures:
        parser.error(
            f"there are no pictures in {', '.join(options.pictures)}. Looked for: "
            f"{' '.join(SUFFIXES)}"
        )
    try:
        done = read_table(table)
        model = load_captioner(options.model)
    except (ValueError, OSError, ImportError) as error:
        parser.error(str(error))
    names = {os.path.relpath(path, table.parent): path for path in pictures}
    left = [name for name in names if name not in done]
    if len(left) < len(names):
        print(f"{len(names) - len(left)} of {len(names)} are in {table} already.")
    skipped = []
    bar = keras.utils.Progbar(len(left), unit_name="picture")
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if not done and not table.stat().st_size:
            writer.writerow(HEADER)
        for start in range(0, len(left), TOGETHER):
            batch, images = left[start : start + TOGETHER], []
            for name in batch:
                try:
                    images.append((name, model.read_images([str(names[name])])))
                except (ValueError, OSError) as error:
                    skipped.append((names[name], error))
            if images:
                captions = model.caption(
                    np.concatenate([image for _, image in images]),
                    beam_width=options.beam_width,
                    prompt=options.prompt,
                )
                rows = zip([name for name, _ in images], captions, strict=True)
                writer.writerows(rows)
                file.flush()  # so that what is done stays when it is stopped
            bar.add(len(batch))
    print(f"{len(left) - len(skipped)} captions written to {table}")
    for path, error in skipped:
        print(f"skipped {path}: {' '.join(str(error).split())}")


def find_pictures(paths):
    """The pictures among files and, at any depth, in folders."""
    found = []
    for path in map(pathlib.Path, paths):
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [p for p in inside if p.suffix.lower() in SUFFIXES or p == path]
    return [path for path in found if not path.is_dir()]


def read_table(path):
    """The pictures that a table has captions of.

    A last line that was cut off before its caption is removed; one that only lacks its
    end, as editors leave it, gets it.
    """
    if not path.exists():
        return set()
    data = path.read_bytes()
    rows = list(csv.reader(data.decode("utf-8-sig").splitlines()))
    if data and (not rows or rows[0] != HEADER):
        raise ValueError(
            f"{path} is no table of captions: its first line must be "
            f"{','.join(HEADER)!r}. Name another file with --out."
        )
    if data and not data.endswith(b"\n"):
        if len(rows[-1]) == len(HEADER) and rows[-1][-1]:
            with path.open("ab") as file:
                file.write(b"\r\n")
        else:
            os.truncate(path, data.rfind(b"\n") + 1)
            rows.pop()
    return {row[0] for row in rows[1:] if row}


def load_captioner(folder):
    """The captioner in a folder that the demo or `save_to_preset` wrote."""
    if not (pathlib.Path(folder) / "config.json").is_file():
        raise ValueError(
            f"there is no model in {folder!r}. Train one with `python -m "
            "keras_attention demo`, or name the folder of another with --model."
        )
    model = from_preset(folder)
    if not hasattr(model, "caption"):
        raise ValueError(
            f"the model in {folder!r}, {type(model).__name__}, describes no "
            "pictures. Name the folder of a captioner with --model."
        )
    if model.vocabulary is None:
        raise ValueError(
            f"the model in {folder!r} has no vocabulary, so it writes numbers instead "
            "of words. Train it with `vocabulary=...`."
        )
    return model

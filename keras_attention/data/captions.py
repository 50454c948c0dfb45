"""Captioned pictures from the files that data sets come in, and batches of them.

Letters for axes: B pictures of a batch, L tokens of a caption.
"""

import csv
import io
import json
import math
import operator
import pathlib
import re

import keras
import numpy as np

from keras_attention.images.images import check_image_size
from keras_attention.images.images import load_image
from keras_attention.tokenizers.vocabulary import shorten

FORMATS = ("coco", "flickr8k", "csv")

# What data sets call the two columns of a table, in lower case.
IMAGE_COLUMNS = ("image", "image_name", "image_path", "file_name", "filename", "file")
CAPTION_COLUMNS = ("caption", "text", "comment", "description", "sentence")

FLICKR8K_LINE = re.compile(r"(?P<image>[^\t]*\S)#\d+\t(?P<caption>.*)")


def load_captions(path, format=None, images=None, skip_missing=False):
    """Reads which captions belong to which picture.

    Args:
        path: A file, or a folder with one such file in it:

            - `"coco"`: the JSON of COCO Captions, with `images` and `annotations`;
            - `"flickr8k"`: text, `image.jpg#0<TAB>caption` on each line;
            - `"csv"`: a table whose first line names its columns, one `image` (or
              `file_name`, `image_name`, ...) and one `caption` (or `text`, `comment`,
              ...), such as Flickr8k on Kaggle. The separator may be a comma, a tab,
              a semicolon or a bar.

        format: One of these names. Told from the contents by default.
        images: Folder of the pictures. That of the file by default.
        skip_missing: Leave out pictures that are not there, instead of refusing.

    Returns:
        List of `(path of the picture, list of its captions)`, in the order of the
        file.

    Raises:
        ValueError: The file is broken or in none of these formats, a caption is
            empty, or a picture is missing.
        FileNotFoundError: There is no such file.

    Example:

    >>> import pathlib
    >>> pathlib.Path("cat.jpg").touch()
    >>> rows = ["image,caption", "cat.jpg,A cat", "cat.jpg,A black cat"]
    >>> _ = pathlib.Path("captions.csv").write_text("\\n".join(rows))
    >>> load_captions("captions.csv")
    [('cat.jpg', ['A cat', 'A black cat'])]
    """
    if format is not None and format not in FORMATS:
        raise ValueError(
            f"`format` must be one of {', '.join(map(repr, FORMATS))}, or None to "
            f"look. Received: format={format!r}"
        )
    path = pathlib.Path(path)
    if path.is_dir():
        path = find_caption_file(path, format)
    text = read_text(path)
    found = detect_format(text)
    if found is None and format is None:
        raise ValueError(
            f"'{path}' is in none of the formats {', '.join(FORMATS)}. It starts with "
            f"{shorten(text[:60])}. Write a CSV file with the columns image and "
            "caption."
        )
    readers = {"coco": read_coco, "flickr8k": read_flickr8k, "csv": read_csv}
    captions = {}
    for name, caption, where in readers[format or found](path, text):
        if not isinstance(name, str) or not isinstance(caption, str):
            raise ValueError(
                f"'{path}', {where}: the picture and its caption must be text. "
                f"Received: {shorten(name)}, {shorten(caption)}"
            )
        if not caption.strip():
            raise ValueError(
                f"The caption of {name!r} is empty, in '{path}', {where}. Leave it out."
            )
        captions.setdefault(name, []).append(caption.strip())
    if not captions:
        raise ValueError(f"There are no captions in '{path}'.")
    folder = path.parent if images is None else pathlib.Path(images)
    return find_pictures(captions, folder, path, skip_missing)


def find_caption_file(folder, format):
    candidates = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".json", ".txt", ".csv", ".tsv", ".token"):
            try:
                found = detect_format(read_text(path))
            except ValueError:
                continue
            if found is not None and format in (None, found):
                candidates.append(path)
    if len(candidates) != 1:
        names = ", ".join(repr(path.name) for path in candidates) or "none"
        raise ValueError(
            f"The folder '{folder}' must hold one file with captions. Found: {names}. "
            "Pass the path of the file."
        )
    return candidates[0]


def read_text(path):
    data = path.read_bytes()
    if not data.strip():
        raise ValueError(f"'{path}' is empty.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"'{path}' is not text in UTF-8: line {line} holds the byte "
            f"0x{data[error.start]:02x}. Save it in UTF-8."
        ) from None


def detect_format(text):
    start = text.lstrip()
    if start.startswith(("{", "[")):
        return "coco"
    first_line = start.split("\n", 1)[0].rstrip("\r")
    if FLICKR8K_LINE.fullmatch(first_line):
        return "flickr8k"
    return "csv" if find_columns(first_line) else None


def read_coco(path, text):
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"'{path}' is broken JSON: {error}.") from None
    keys = list(content) if isinstance(content, dict) else type(content).__name__
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise ValueError(
            f"'{path}' is JSON, but not COCO Captions: it must hold `images` and "
            f"`annotations`. Received: {shorten(keys)}"
        )
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        annotations = [(a["image_id"], a["caption"]) for a in content["annotations"]]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"'{path}' is not COCO Captions: each image must hold `id` and "
            "`file_name`, each annotation `image_id` and `caption`. One does not: "
            f"{type(error).__name__} {error}. Take the captions_*.json file."
        ) from None
    for i, (image_id, caption) in enumerate(annotations):
        if image_id not in names:
            raise ValueError(
                f"'{path}': annotation {i} belongs to the image {image_id!r}, which "
                "`images` does not list."
            )
        yield names[image_id], caption, f"annotation {i}"


def read_flickr8k(path, text):
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.strip():
            continue
        match = FLICKR8K_LINE.fullmatch(line)
        if match is None:
            raise ValueError(
                f"'{path}', line {number}: expected image.jpg#0<TAB>caption. Received: "
                f"{shorten(line)}"
            )
        yield match["image"], match["caption"], f"line {number}"


def find_columns(first_line):
    """Separator, position of the image and of the caption; None if there are none."""
    for separator in (",", "\t", ";", "|"):
        header = next(csv.reader([first_line], delimiter=separator), [])
        header = [column.strip().lower() for column in header]
        image = next(
            (i for i, name in enumerate(header) if name in IMAGE_COLUMNS), None
        )
        caption = next(
            (i for i, name in enumerate(header) if name in CAPTION_COLUMNS), None
        )
        if image is not None and caption is not None:
            return separator, image, caption
    return None


def read_csv(path, text):
    columns = find_columns(text.split("\n", 1)[0].rstrip("\r"))
    if columns is None:
        raise ValueError(
            f"'{path}': the first line must name the columns, one of "
            f"{', '.join(IMAGE_COLUMNS)} and one of {', '.join(CAPTION_COLUMNS)}. "
            f"Received: {shorten(text.split(chr(10), 1)[0])}"
        )
    separator, image, caption = columns
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    width = None
    try:
        for row in reader:
            if width is None:
                width = len(row)  # the first line
            elif len(row) == width:
                yield row[image].strip(), row[caption], f"line {reader.line_num}"
            elif row:
                raise ValueError(
                    f"'{path}', line {reader.line_num}: {width} columns expected, "
                    f"{len(row)} received: {shorten(row)}. Put captions with "
                    f"{separator!r} in double quotes."
                )
    except csv.Error as error:
        raise ValueError(
            f"'{path}', line {reader.line_num}: broken CSV ({error}). Double quotes "
            "around a caption must be closed, those inside it doubled."
        ) from None


def find_pictures(captions, folder, path, skip_missing):
    records, missing = [], []
    for name, texts in captions.items():
        picture = folder / name
        if picture.is_file():
            records.append((str(picture), texts))
        else:
            missing.append(name)
    if missing and not (skip_missing and records):
        first = ", ".join(map(repr, missing[:3]))
        raise ValueError(
            f"{len(missing)} of the {len(captions)} pictures that '{path}' names are "
            f"not in the folder '{folder}', such as {first}. "
            "Name their folder in `images`, or leave them out with skip_missing=True."
        )
    return records


class CaptionDataset(keras.utils.PyDataset):
    """Batches of pictures and captions for `fit`, read from files as they are needed.

    An epoch shows each caption once, with its picture; a picture with five captions
    comes five times. A batch is what an image captioner learns from:

        {"images": (B, height, width, 3), "token_ids": (B, L - 1)}, (B, L - 1)

    images as uint8, the tokens of a caption without its last, which the decoder
    reads, and without its first, which it must predict. Padding is 0 in both. L is
    the same in all batches, so that a model is compiled once.

    Args:
        records: List of `(image, captions)`, as `load_captions` gives them. An image
            is anything that `load_image` takes.
        vocabulary: A `Vocabulary`.
        image_size: Pixels of the images, an int or `(height, width)`.
        batch_size: Captions in a batch. The last batch holds what is left.
        max_length: L, `[start]` and `[end]` included. That of the longest caption by
            default.
        truncate: Cut longer captions instead of refusing them.
        fit: How a picture is brought to the size: see `load_image`.
        shuffle: Draw another order for each epoch.
        seed: Seed of these orders.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`. `workers=4` reads the files in 4 threads.

    Raises:
        ValueError: There are no records, or a caption cannot be encoded.

    Example:

    >>> from keras_attention.tokenizers import Vocabulary
    >>> image = np.zeros((8, 8, 3), "uint8")
    >>> records = [(image, ["a cat", "a black cat"]), (image, ["a dog"])]
    >>> vocabulary = Vocabulary.from_captions([c for _, cs in records for c in cs])
    >>> dataset = CaptionDataset(records, vocabulary, image_size=8, batch_size=2)
    >>> inputs, targets = dataset[0]
    >>> len(dataset), inputs["images"].shape, inputs["token_ids"].shape, targets.shape
    (2, (2, 8, 8, 3), (2, 4), (2, 4))
    """

    def __init__(
        self,
        records,
        vocabulary,
        image_size,
        batch_size=32,
        max_length=None,
        truncate=False,
        fit="pad",
        shuffle=True,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        records = list(records)
        if operator.index(batch_size) < 1:
            raise ValueError(
                f"`batch_size` must be 1 or more. Received: batch_size={batch_size}"
            )
        if not records:
            raise ValueError("`records` must hold at least one picture. Received none.")
        self.images, self.image_index, captions = [], [], []
        for i, record in enumerate(records):
            if len(record) != 2 or isinstance(record[1], str) or not record[1]:
                raise ValueError(
                    "Each record must be (image, list of captions), one caption or "
                    f"more. Received as record {i}: {shorten(record)}"
                )
            self.images.append(record[0])
            self.image_index += [i] * len(record[1])
            captions += record[1]
        self.token_ids = vocabulary.encode(captions, max_length, truncate=truncate)
        self.image_size = check_image_size(image_size)
        self.batch_size, self.fit = batch_size, fit
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0
        self.order = self._draw_order()

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        if not len(chosen):
            raise IndexError(f"Batch {index} of {len(self)}.")
        images = np.stack(
            [
                load_image(self.images[self.image_index[i]], self.image_size, self.fit)
                for i in chosen
            ]
        )
        token_ids = self.token_ids[chosen]
        return {"images": images, "token_ids": token_ids[:, :-1]}, token_ids[:, 1:]

    def on_epoch_end(self):
        self.epoch += 1
        self.order = self._draw_order()

    def _draw_order(self):
        order = np.arange(len(self.token_ids))
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        return order

"""Text files as token ids that are kept on disk, so that they need not fit in memory.

A file is tokenized once. What comes out lies in a folder of the cache as `.npy` files
that are mapped, not read: a training takes from them what a batch needs, and one that
begins again finds them there.

Letters: N tokens, M sentences, K documents.
"""

import hashlib
import itertools
import json
import os
import pathlib
import shutil
import typing
import uuid

import keras
import numpy as np

from keras_attention.files import cache_folder
from keras_attention.tokenizers.published_tokenizer import PublishedTokenizer

# Another number where the same files would give other tokens than before.
VERSION = 1
SENTENCES_AT_ONCE = 4096
BLOCKS_AT_ONCE = 64
BLOCK = 2**14  # characters, about
# Bytes of text that are tokenized without a word on how far it is.
LONG = 20_000_000
MEGABYTE = 1_000_000


class SentenceTokens(typing.NamedTuple):
    """The token ids of sentences, one behind the other.

    Attributes:
        token_ids: Integers `(N,)`.
        sentences: Integers `(M + 1,)`, where each sentence begins among the tokens, and
            N.
        documents: Integers `(K + 1,)`, where each document begins among the sentences,
            and M.
    """

    token_ids: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray


def tokenize_sentences(paths, tokenizer, cache=None):
    """The token ids of files with a sentence on each line.

    Args:
        paths: A file in UTF-8, or a list of them: a sentence on each line, a blank line
            between documents, as in the files that BERT was trained from.
        tokenizer: A `PublishedTokenizer`.
        cache: Folder in which the tokens are kept. Defaults to one in `cache_folder`.

    Returns:
        `SentenceTokens`, arrays that are mapped from disk.

    Raises:
        ValueError: A file is not in UTF-8, or there is no sentence.

    Example:

    >>> import pathlib
    >>> from keras_attention.tokenizers.tokenizer_files import (
    ...     word_piece_tokenizer,
    ... )
    >>> _ = pathlib.Path("text.txt").write_text("a b\\nb\\n\\na a a\\n")
    >>> tokenizer = word_piece_tokenizer(["[UNK]", "[CLS]", "[SEP]", "a", "b"])
    >>> found = tokenize_sentences("text.txt", tokenizer, cache=".")
    >>> [array.tolist() for array in found]
    [[3, 4, 4, 3, 3, 3], [0, 2, 3, 6], [0, 2, 3]]
    """
    paths = check_paths(paths)
    check_tokenizer(tokenizer)

    def write(folder, advance):
        with (
            ArrayWriter(folder / "token_ids.npy", id_type(tokenizer)) as token_ids,
            ArrayWriter(folder / "sentences.npy", "int64") as sentences,
            ArrayWriter(folder / "documents.npy", "int64") as documents,
        ):
            begins = True
            for batch in batched(sentences_of(paths, advance), SENTENCES_AT_ONCE):
                texts, first = zip(*batch, strict=True)
                rows = tokenizer.token_id_lists(texts)
                for row, is_first in zip(rows, first, strict=True):
                    begins = begins or is_first
                    if not row:
                        continue
                    if begins:
                        documents.append([len(sentences)])
                    begins = False
                    sentences.append([len(token_ids)])
                    token_ids.append(row)
            documents.append([len(sentences)])
            sentences.append([len(token_ids)])
            check_any(token_ids, paths)

    found = keep(["sentences"], paths, tokenizer, cache, write)
    return SentenceTokens(**found)


def tokenize_text(paths, tokenizer, separator=None, cache=None):
    """The token ids of texts, the tokenizer's end token behind each document.

    Args:
        paths: A file in UTF-8, or a list of them. Each is a document, or several.
        tokenizer: A `PublishedTokenizer` with an end token, as that of GPT-2.
        separator: The line that stands between two documents, such as `""` for a blank
            one. Defaults to the text of the end token.
        cache: As for `tokenize_sentences`.

    Returns:
        Integers `(N,)`, an array that is mapped from disk.

    Raises:
        ValueError: A file is not in UTF-8, there is no text, or no end token.

    Example:

    >>> import pathlib
    >>> from keras_attention.tokenizers.tokenizer_files import (
    ...     byte_pair_tokenizer,
    ... )
    >>> _ = pathlib.Path("text.txt").write_text("ab\\n\\nb\\n")
    >>> ids = {"[end]": 0, "a": 1, "b": 2, "ab": 3}
    >>> tokenizer = byte_pair_tokenizer(ids, [("a", "b")], {"eos_token": "[end]"})
    >>> tokenize_text("text.txt", tokenizer, separator="", cache=".").tolist()
    [3, 0, 2, 0]
    """
    paths = check_paths(paths)
    check_tokenizer(tokenizer)
    end_id = tokenizer.end_id
    if end_id is None:
        raise ValueError(
            "A text needs a tokenizer with an end token, as that of GPT-2, to stand "
            f"between documents. Received: {tokenizer!r}. `train_byte_pairs` makes one."
        )
    if separator is None:
        separator = tokenizer.tokens([[end_id]])[0][0]

    def write(folder, advance):
        path = folder / "token_ids.npy"
        with ArrayWriter(path, id_type(tokenizer)) as token_ids:
            blocks = blocks_of(paths, separator, advance)
            begin = 0  # where the document begins
            for batch in batched(blocks, BLOCKS_AT_ONCE):
                texts, last = zip(*batch, strict=True)
                rows = tokenizer.token_id_lists(texts)
                for row, is_last in zip(rows, last, strict=True):
                    token_ids.append(row)
                    if is_last and len(token_ids) > begin:
                        token_ids.append([end_id])
                        begin = len(token_ids)
            check_any(token_ids, paths)

    return keep(["text", separator], paths, tokenizer, cache, write)["token_ids"]


def check_paths(paths):
    """One path or several as a list of `pathlib.Path`."""
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    paths = [pathlib.Path(path) for path in paths]
    if not paths:
        raise ValueError("`paths` must name at least one file. Received none.")
    return paths


def check_tokenizer(tokenizer):
    if not isinstance(tokenizer, PublishedTokenizer):
        raise ValueError(
            "`tokenizer` must be a `PublishedTokenizer`, such as `train_word_pieces` "
            f"and `train_byte_pairs` make one. Received: {tokenizer!r}"
        )


def check_any(token_ids, paths):
    if not len(token_ids):
        names = ", ".join(f"'{path}'" for path in paths)
        raise ValueError(f"There is no text in {names}.")


def id_type(tokenizer):
    """The smallest type that holds its ids."""
    return "uint16" if len(tokenizer) <= 2**16 else "uint32"


def batched(items, size):
    """Lists of at most so many items."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def read_lines(path, advance=None):
    """The lines of a file with their ends, one at a time.

    Args:
        path: The file, in UTF-8.
        advance: Called with the number of bytes of each line.

    Yields:
        Strings.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"'{path}' is not text in UTF-8: line {number} holds the byte "
                    f"0x{line[error.start]:02x}. Save it in UTF-8."
                ) from None
            if advance is not None:
                advance(len(line))
            yield text.replace("\r\n", "\n")


def sentences_of(paths, advance=None):
    """The sentences of files, each with whether it begins a document."""
    for path in paths:
        begins = True
        for line in read_lines(path, advance):
            sentence = line.strip()
            if sentence:
                yield sentence, begins
            begins = not sentence


def blocks_of(paths, separator, advance=None):
    """Parts of the texts of files, each with whether a document ends with it.

    A document is cut between two words that the tokenizer of GPT-2 would never join:
    before a line that begins with a letter or a sign, behind one that ends so. Line
    breaks at the ends of documents are left out.
    """
    for path in paths:
        block, size = [], 0
        for line in read_lines(path, advance):
            if line.rstrip("\n") == separator:
                yield "".join(block).strip("\n"), True
                block, size = [], 0
                continue
            if size >= BLOCK and block[-1][-2:-1].strip() and line[0].strip():
                yield "".join(block).lstrip("\n"), False
                block, size = [], 0
            block.append(line)
            size += len(line)
        yield "".join(block).strip("\n"), True


class ArrayWriter:
    """A `.npy` file of integers that grows.

    Args:
        path: Name of the file.
        dtype: Type of the integers.

    Example:

    >>> with ArrayWriter("ids.npy", "uint16") as ids:
    ...     ids.append([3, 4])
    ...     ids.append([5])
    >>> np.load("ids.npy").tolist()
    [3, 4, 5]
    """

    def __init__(self, path, dtype):
        self.dtype = np.dtype(dtype)
        self.file = open(path, "wb")
        self.length = 0

    def __enter__(self):
        self._write_header()
        return self

    def __len__(self):
        return self.length

    def append(self, values):
        self.file.write(np.asarray(values, self.dtype).tobytes())
        self.length += len(values)

    def __exit__(self, *error):
        with self.file:
            self.file.seek(0)
            self._write_header()

    def _write_header(self):
        """Writes the header, in which NumPy leaves room for a longer array."""
        np.lib.format.write_array_header_1_0(
            self.file,
            {
                "descr": np.lib.format.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (self.length,),
            },
        )


def keep(kind, paths, tokenizer, cache, write):
    """The arrays of these files, made at the first call and found at the next ones.

    They are made in a folder of another name, which is then moved: so they are there
    whole or not at all, whenever the process ends.

    Args:
        kind: List of strings, how the files are read.
        paths: List of paths.
        tokenizer: A `PublishedTokenizer`.
        cache: Folder of all of them, or `None`.
        write: Function of a folder and of `advance` that writes `.npy` files.

    Returns:
        Dict of mapped arrays.
    """
    files = [(str(path.resolve()), path.stat()) for path in paths]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    key = json.dumps([VERSION, kind, tokenizer.get_config()["json"], files])
    cache = cache_folder() / "tokens" if cache is None else pathlib.Path(cache)
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:32]
    if not folder.is_dir():
        temporary = cache / f".{folder.name}.{uuid.uuid4().hex}.tmp"
        temporary.mkdir(parents=True)
        try:
            write(temporary, progress(sum(size for _, size, _ in files)))
            move(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return {
        path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))
    }


def move(temporary, folder):
    """Gives a folder its name, unless another process was faster."""
    try:
        os.rename(temporary, folder)
    except OSError:
        if not folder.is_dir():
            raise


def progress(size):
    """A function of the number of bytes that were read, with a bar for long texts."""
    if size < LONG:
        return None
    bar = keras.utils.Progbar(-(-size // MEGABYTE), unit_name="MB")
    done = 0

    def advance(count):
        nonlocal done
        before, done = done // MEGABYTE, done + count
        if done == size or done // MEGABYTE > before:
            bar.update(-(-done // MEGABYTE))

    return advance

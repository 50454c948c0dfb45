"""Caption files of three kinds, and the batches that `fit` reads."""

import json

import numpy as np
import pytest

from keras_attention.data import CaptionDataset
from keras_attention.data import load_captions
from keras_attention.tokenizers import Vocabulary

Image = pytest.importorskip("PIL.Image", reason="reading pictures needs pillow")

pytestmark = pytest.mark.once

# What each file below says; b.png comes first, as in the files.
CAPTIONS = {"b.png": ["A dog, running.", "A brown dog"], "a.png": ["Ein Kätzchen"]}

COCO = {
    "info": {},
    "images": [
        {"id": 9, "file_name": "a.png"},
        {"id": 7, "file_name": "b.png"},
        {"id": 8, "file_name": "without captions.png"},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "caption": "A dog, running."},
        {"id": 2, "image_id": 9, "caption": "Ein Kätzchen"},
        {"id": 3, "image_id": 7, "caption": "A brown dog\n"},
    ],
}
FLICKR8K = (
    "b.png#0\tA dog, running.\nb.png#1\tA brown dog \r\na.png#0\tEin Kätzchen\n\n"
)
KAGGLE = 'image,caption\nb.png,"A dog, running."\nb.png,A brown dog\na.png,Ein Kätzchen'
FILES = {
    "captions.json": json.dumps(COCO),
    "Flickr8k.token.txt": FLICKR8K,
    "captions.txt": KAGGLE,
    "windows.csv": "\ufeff" + KAGGLE.replace("\n", "\r\n"),
    "table.tsv": (
        "id\tText\tfile_name\n1\tA dog, running.\tb.png\n"
        "2\tA brown dog\tb.png\n3\tEin Kätzchen\ta.png\n"
    ),
    "results.csv": (
        "image_name| comment_number| comment\nb.png| 0| A dog, running.\n"
        "b.png| 1| A brown dog\na.png| 0| Ein Kätzchen"
    ),
}


@pytest.fixture
def folder(tmp_path):
    """A red picture a.png 6 x 4 and a blue one b.png 4 x 4."""
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4), (0, 0, 255)).save(tmp_path / "b.png")
    return tmp_path


def write(folder, text, name="captions.txt"):
    path = folder / name
    path.write_text(text, "utf-8", newline="")
    return path


@pytest.mark.parametrize("name", FILES)
def test_each_kind_of_file_gives_the_captions_of_each_picture(folder, name):
    path = write(folder, FILES[name], name)
    expected = [(str(folder / image), texts) for image, texts in CAPTIONS.items()]
    assert load_captions(path) == expected
    # The folder holds one such file.
    assert load_captions(str(folder)) == expected


@pytest.mark.parametrize(
    "format, text",
    [("coco", json.dumps(COCO)), ("flickr8k", FLICKR8K), ("csv", KAGGLE)],
)
def test_the_format_can_be_named(folder, format, text):
    path = write(folder, text)
    assert len(load_captions(path, format=format)) == 2
    for other in {"coco", "flickr8k", "csv"} - {format}:
        with pytest.raises(ValueError, match="captions.txt'"):
            load_captions(path, format=other)


def test_the_pictures_may_be_elsewhere(folder, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("elsewhere"), FLICKR8K)
    assert load_captions(path, images=folder)[0][0] == str(folder / "b.png")
    absolute = write(folder, f"image,caption\n{folder / 'a.png'},cat", "absolute.csv")
    assert load_captions(absolute, images="nowhere")[0][0] == str(folder / "a.png")


def test_missing_pictures_are_counted_and_the_first_are_named(folder):
    lines = [f"{name}.png#0\ta cat" for name in "abcdefg"]
    path = write(folder, "\n".join(lines))
    with pytest.raises(ValueError) as error:
        load_captions(path)
    assert "5 of the 7 pictures" in str(error.value)
    assert "such as 'c.png', 'd.png', 'e.png'. Name" in str(error.value)
    assert [texts for _, texts in load_captions(path, skip_missing=True)] == [
        ["a cat"],
        ["a cat"],
    ]
    with pytest.raises(ValueError, match="7 of the 7"):
        load_captions(path, images=folder / "nowhere", skip_missing=True)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "captions.txt' is empty"),
        ("hello\nworld", r"none of the formats coco, .* starts with 'hello\\nworld'"),
        ("a,b\n1,2", "none of the formats"),
        ('{"images": [', "broken JSON: .*line 1 column 13"),
        ("[1, 2]", "not COCO Captions: .*Received: 'list'"),
        ('{"images": [], "boxes": []}', r"Received: \['images', 'boxes'\]"),
        ('{"images": [{"id": 1}], "annotations": []}', "KeyError 'file_name'"),
        ('{"images": 3, "annotations": []}', "not COCO Captions: .*TypeError"),
        ('{"images": [], "annotations": []}', "There are no captions"),
        (
            '{"images": [], "annotations": [{"image_id": 3, "caption": "x"}]}',
            "annotation 0 belongs to the image 3, which",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}],'
            ' "annotations": [{"image_id": 1, "caption": null}]}',
            "annotation 0: .* must be text. Received: 'a.png', None",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}],'
            ' "annotations": [{"image_id": 1, "caption": " "}]}',
            "caption of 'a.png' is empty.*annotation 0",
        ),
        ("a.png#0\tcat\n\na.png#1\t \n", "caption of 'a.png' is empty, .*line 3"),
        ("a.png#0\tcat\na.png cat\n", "line 2: expected .*Received: 'a.png cat'"),
        ("image,caption\na.png,cat\na.png,\n", "of 'a.png' is empty, .*line 3"),
        ("image,caption\na.png,a cat, red\n", "line 2: 2 columns expected, 3 received"),
        ('image,caption\na.png,"a cat\n', "broken CSV .unexpected end of data"),
        ('image,caption\na.png,"a" cat\n', "line 2: broken CSV"),
        ("image,caption\n", "There are no captions"),
    ],
)
def test_broken_files_are_refused(folder, text, message):
    with pytest.raises(ValueError, match=message):
        load_captions(write(folder, text))


def test_a_file_in_another_encoding_names_the_line(folder):
    path = folder / "captions.csv"
    path.write_bytes("image,caption\na.png,cat\na.png,Kätzchen".encode("latin-1"))
    with pytest.raises(ValueError, match="UTF-8: line 3 holds the byte 0xe4"):
        load_captions(path)


def test_a_folder_must_hold_one_file(folder):
    with pytest.raises(ValueError, match="one file with captions. Found: none"):
        load_captions(folder)
    (folder / "notes.txt").write_bytes(b"\xff no captions")
    write(folder, KAGGLE, "one.csv")
    assert len(load_captions(folder)) == 2
    write(folder, FLICKR8K, "two.txt")
    with pytest.raises(ValueError, match="Found: 'one.csv', 'two.txt'"):
        load_captions(folder)
    assert len(load_captions(folder, format="flickr8k")) == 2


def test_what_is_not_there_is_refused(folder):
    with pytest.raises(FileNotFoundError, match="nowhere.csv"):
        load_captions(folder / "nowhere.csv")
    with pytest.raises(ValueError, match="'coco', 'flickr8k', 'csv'.*format='xml'"):
        load_captions(folder, format="xml")


@pytest.fixture
def records(folder):
    return load_captions(write(folder, FLICKR8K))


@pytest.fixture
def vocabulary():
    return Vocabulary.from_captions([c for texts in CAPTIONS.values() for c in texts])


def test_a_batch_holds_images_and_shifted_tokens(records, vocabulary):
    dataset = CaptionDataset(
        records, vocabulary, image_size=(5, 6), batch_size=2, shuffle=False
    )
    assert len(dataset) == 2
    inputs, targets = dataset[0]
    assert inputs["images"].shape == (2, 5, 6, 3) and inputs["images"].dtype == "uint8"
    captions = ["a dog running", "a brown dog"]
    assert vocabulary.decode(targets) == captions
    token_ids = vocabulary.encode(captions)
    np.testing.assert_array_equal(inputs["token_ids"], token_ids[:, :-1])
    np.testing.assert_array_equal(targets, token_ids[:, 1:])
    # The last batch is smaller but as long.
    inputs, targets = dataset[1]
    assert inputs["images"].shape == (1, 5, 6, 3) and targets.shape == (1, 4)
    assert vocabulary.decode(targets) == ["ein kätzchen"]
    with pytest.raises(IndexError, match="Batch 2 of 2"):
        dataset[2]


def test_each_caption_comes_with_its_own_picture(records, vocabulary):
    dataset = CaptionDataset(records, vocabulary, 4, batch_size=1, fit="crop")
    for _ in range(2):
        for (inputs, _), targets in [(batch, batch[1]) for batch in dataset]:
            color = inputs["images"][0, 0, 0].tolist()
            cat = vocabulary.decode(targets) == ["ein kätzchen"]
            assert color == ([255, 0, 0] if cat else [0, 0, 255])
        dataset.on_epoch_end()


def test_each_epoch_has_its_own_order_which_the_seed_repeats(vocabulary):
    image = np.zeros((2, 2, 3), "uint8")
    records = [(image, [w]) for w in vocabulary.words] * 3
    orders = {}
    for seed in (0, 0, 1):
        dataset = CaptionDataset(
            records, vocabulary, 2, batch_size=len(records), seed=seed
        )
        epochs = []
        for _ in range(2):
            epochs.append(dataset[0][1][:, 0].tolist())
            dataset.on_epoch_end()
        assert epochs[0] != epochs[1]
        assert sorted(epochs[0]) == sorted(epochs[1])
        assert orders.setdefault(seed, epochs) == epochs
    assert orders[0] != orders[1]


def test_a_file_that_is_no_picture_is_named(records, vocabulary, folder):
    (folder / "a.png").write_text("gone")
    dataset = CaptionDataset(records, vocabulary, 4, shuffle=False)
    with pytest.raises(ValueError, match="a.png' is not a picture"):
        dataset[0]


@pytest.mark.parametrize(
    "records, arguments, message",
    [
        ([], {}, "at least one picture. Received none"),
        ([("a.png", "cat")], {}, r"Received as record 0: \('a.png', 'cat'\)"),
        ([("a.png", [])], {}, "one caption or more"),
        ([("a.png", ["cat", "  "])], {}, "Caption 1 has no word"),
        ([("a.png", ["a b c"])], {"max_length": 4}, "needs 5 tokens"),
        ([("a.png", ["cat"])], {"batch_size": 0}, "batch_size=0"),
        ([("a.png", ["cat"])], {"image_size": 0}, "image_size=0"),
    ],
)
def test_records_that_cannot_be_batched_are_refused(
    vocabulary, records, arguments, message
):
    with pytest.raises(ValueError, match=message):
        CaptionDataset(records, vocabulary, **{"image_size": 4, **arguments})


def test_long_captions_can_be_cut(vocabulary):
    image = np.zeros((2, 2, 3), "uint8")
    dataset = CaptionDataset(
        [(image, ["a brown dog"])], vocabulary, 2, max_length=4, truncate=True
    )
    assert vocabulary.decode(dataset[0][1]) == ["a brown"]

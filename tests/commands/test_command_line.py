"""`python -m keras_attention`, as a user runs it."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import types

import numpy as np
import PIL.Image
import pytest

import keras_attention
from keras_attention import __main__ as command_line
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer


def run(*arguments, cwd):
    """Runs the program in a new process; its last line on stderr is what it says."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "keras_attention", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=dict(os.environ),
        timeout=300,
    )


def refusal(capsys, *arguments):
    """What the program says on stderr when it refuses."""
    with pytest.raises(SystemExit) as stop:
        command_line.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("python -m keras_attention")
    assert written.err.count("\n") == 1
    return written.err


def embedded_pictures(page):
    """The PNG files in a page."""
    data = json.loads(re.search('id="data">(.*)</script>', page.read_text())[1])
    texts = [item["image"].partition(",")[2] for item in data["items"]]
    return [base64.b64decode(text) for text in texts]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A captioner that has learnt nothing, and always writes three words."""
    folder = tmp_path_factory.mktemp("model")
    model = keras_attention.applications.ShowAttendTell(
        vocabulary=["cat", "dog"],
        image_size=(16, 24),
        encoder_filters=(4, 4),
        hidden_dim=8,
        word_dim=4,
        max_length=3,
    )
    (bias,) = (w for w in model.weights if w.path == "decoder/word_output/bias")
    bias.assign([0, 0, -100, 0, 0, 0])  # the end is the least of all
    model.save_to_preset(folder)
    return folder


@pytest.fixture
def picture(tmp_path, rng):
    path = tmp_path / "noise.png"
    PIL.Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype("uint8")).save(path)
    return path


@pytest.mark.once
def test_the_version_is_that_of_the_package(tmp_path):
    result = run("--version", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout == f"keras-attention {keras_attention.__version__}\n"


@pytest.mark.once
def test_help_lists_the_commands(tmp_path):
    result = run("--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "demo " in result.stdout and "caption " in result.stdout


@pytest.mark.once
def test_the_program_itself_imports_nothing_heavy(tmp_path):
    code = (
        "import runpy, sys; sys.argv = ['-', 'caption', '--help']\n"
        f"try: runpy.run_path({command_line.__file__!r}, run_name='__main__')\n"
        "except SystemExit: print(sorted({'keras', 'numpy'} & sys.modules.keys()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.stdout.endswith("\n[]\n"), result


def test_a_picture_is_captioned_and_shown(tmp_path, picture, model_folder):
    result = run("caption", picture, "--model", model_folder, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    found = re.fullmatch(r"(.*): (.*) \(log-probability (-\d+\.\d\d)\)", first)
    assert found[1] == str(picture)
    words = found[2].split()
    assert len(words) == 3
    assert set(words) <= {"cat", "dog"}
    page = tmp_path / "caption.html"
    assert second == f"Where it looked for each word: {page}"
    data = json.loads(re.search('id="data">(.*)</script>', page.read_text())[1])
    (item,) = data["items"]
    assert not data["many"]
    assert item["grid"] == [2, 3]
    assert item["words"] == words


def test_several_pictures_share_a_page(capsys, tmp_path, picture, model_folder):
    """Each as the model sees it, within white bands, but sixteen times as sharp."""
    black, page = tmp_path / "black.png", tmp_path / "page.html"
    PIL.Image.new("RGB", (100, 100)).save(black)
    pictures = [str(picture), str(black), str(picture)]
    options = ["--model", str(model_folder), "--page", str(page), "--beam-width", "1"]
    command_line.main(["caption", *pictures, *options])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == pictures
    assert lines[0] == lines[2]
    assert lines[3] == f"Where it looked for each word: {page}"
    shown = [
        np.asarray(PIL.Image.open(io.BytesIO(png))) for png in embedded_pictures(page)
    ]
    assert [image.shape for image in shown] == [(256, 384, 3)] * 3
    assert shown[1][128, 192].max() == 0
    assert shown[1][128, 10].min() == 255


def test_a_model_without_attention_says_so(capsys, tmp_path, picture):
    keras_attention.applications.RNNCaptioner(
        vocabulary=["cat"],
        image_size=16,
        encoder_filters=(4, 4),
        hidden_dim=8,
        word_dim=4,
        max_length=2,
    ).save_to_preset(tmp_path / "model")
    page = tmp_path / "page.html"
    options = ["--model", str(tmp_path / "model"), "--page", str(page)]
    command_line.main(["caption", str(picture), *options])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "RNNCaptioner has no attention to show: no page is written."
    assert not page.exists()


def test_an_error_ends_with_2_and_one_line_without_a_traceback(tmp_path, picture):
    result = run("caption", picture, "--model", "nowhere", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("python -m keras_attention: error: there is no model in ")


def test_without_a_model_the_demo_is_named(capsys, tmp_path, picture):
    said = refusal(capsys, "caption", picture, "--model", tmp_path / "nowhere")
    assert "Train one with `python -m keras_attention demo`" in said


def test_a_damaged_model_is_refused(capsys, tmp_path, picture):
    (tmp_path / "config.json").write_text("{}")
    said = refusal(capsys, "caption", picture, "--model", tmp_path)
    assert "config.json" in said


def test_a_model_without_a_vocabulary_is_refused(capsys, tmp_path, picture):
    keras_attention.applications.ShowAttendTell(
        vocabulary_size=6,
        image_size=16,
        encoder_filters=(4, 4),
        hidden_dim=8,
        word_dim=4,
    ).save_to_preset(tmp_path / "model")
    said = refusal(capsys, "caption", picture, "--model", tmp_path / "model")
    assert "has no vocabulary" in said


def test_a_missing_picture_is_refused(capsys, tmp_path, model_folder):
    path = tmp_path / "missing.png"
    said = refusal(capsys, "caption", path, "--model", model_folder)
    assert "missing.png" in said


def test_a_file_that_is_no_picture_is_refused(capsys, tmp_path, model_folder):
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    said = refusal(capsys, "caption", path, "--model", model_folder)
    assert "notes.png" in said


def test_a_folder_is_no_picture(capsys, tmp_path, model_folder):
    said = refusal(capsys, "caption", tmp_path, "--model", model_folder)
    assert str(tmp_path) in said


def test_a_page_that_cannot_be_written_is_refused_before_all_else(capsys, tmp_path):
    page = tmp_path / "missing" / "page.html"
    said = refusal(capsys, "caption", "cat.png", "--model", "no", "--page", page)
    assert "there is no folder" in said


@pytest.mark.parametrize("width", ["0", "-1", "two", "1.5"])
def test_a_beam_width_is_a_whole_number_from_1(capsys, width):
    said = refusal(capsys, "caption", "cat.png", f"--beam-width={width}")
    assert f"--beam-width: '{width}' is no whole number from 1" in said


def test_an_unknown_command_is_refused(capsys):
    assert "invalid choice: 'paint'" in refusal(capsys, "paint")


def test_a_command_is_asked_for(capsys):
    assert "required: COMMAND" in refusal(capsys)


def test_an_unknown_option_is_refused(capsys):
    assert "--colour" in refusal(capsys, "caption", "cat.png", "--colour")


def stand_in(monkeypatch, main):
    """A command `demo` that does something else."""
    demo = types.SimpleNamespace(main=main)
    monkeypatch.setitem(sys.modules, "keras_attention.commands.demo", demo)
    monkeypatch.setattr(keras_attention.commands, "demo", demo, raising=False)


def test_the_demo_gets_all_that_follows(monkeypatch):
    received = []
    stand_in(monkeypatch, lambda *arguments: received.append(arguments))
    command_line.main(["demo", "--help"])
    command_line.main(["demo"])
    parser = command_line.Parser
    assert received == [(["--help"], parser), ([], parser)]


@pytest.mark.parametrize(
    "error, status, line",
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (OSError(28, "No space left on device", "demo"), 1, "error: .* No space left"),
        (PermissionError(13, "Permission denied", "a"), 1, "error: .* Permission de"),
    ],
)
def test_what_ends_a_command_takes_one_line(monkeypatch, capsys, error, status, line):
    def fail(*_):
        raise error

    stand_in(monkeypatch, fail)
    assert command_line.run(["demo"]) == status
    said = capsys.readouterr().err
    assert re.fullmatch(f"python -m keras_attention: {line}.*\n", said)


@pytest.mark.once
@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
def test_a_pipe_that_nobody_reads_ends_a_command_in_silence(tmp_path):
    code = (
        "import sys, types; from keras_attention import __main__ as program\n"
        "program.main = lambda _: print('line\\n' * 99_999)\n"
        "sys.exit(program.run([]))"
    )
    shell = f'{{ {sys.executable} -P -c "$CODE"; echo $? >&2; }} | head -n 1'
    result = subprocess.run(
        ["sh", "-c", shell],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "CODE": code},
        timeout=300,
    )
    assert (result.stdout, result.stderr) == ("line\n", "141\n")


@pytest.mark.parametrize("command", ["demo", "pronounce", "translate"])
def test_wrong_arguments_of_whole_commands_take_one_line(capsys, command):
    for arguments in (["--colour"], ["--minutes", "no"], ["--minutes", "-1"]):
        pairs = ["pairs.tsv"] if command == "translate" else []
        said = refusal(capsys, command, *pairs, *arguments)
        assert said.startswith(f"python -m keras_attention {command}: error: ")


@pytest.fixture
def pictures(tmp_path, rng):
    """A folder of pictures in which one is broken and one is a text."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "b.JPG", "more/c.png"):
        array = rng.integers(0, 256, (20, 30, 3)).astype("uint8")
        PIL.Image.fromarray(array).save(folder / name, format="png")
    (folder / "broken.png").write_bytes(b"\x89PNG no more")
    (folder / "notes.txt").write_text("no picture")
    return folder


def caption_all(capsys, folder, table, model):
    command_line.main(
        ["caption", str(folder), "--out", str(table), "--model", str(model)]
    )
    return capsys.readouterr().out


@pytest.mark.once
def test_a_folder_is_captioned_into_a_table(tmp_path, capsys, pictures, model_folder):
    table = tmp_path / "captions.csv"
    out = caption_all(capsys, pictures, table, model_folder)
    assert "3 captions written to" in out
    assert re.search(r"skipped .*broken\.png: ", out)
    found = keras_attention.data.load_captions(table)
    assert [os.path.relpath(path, pictures) for path, _ in found] == [
        "a.png",
        "b.JPG",
        os.path.join("more", "c.png"),
    ]
    assert all(len(caption.split()) == 3 for _, (caption,) in found)


@pytest.mark.once
def test_a_table_goes_on_where_it_was_stopped(tmp_path, capsys, pictures, model_folder):
    """A line that was cut off is written anew, what is whole stays."""
    table = tmp_path / "captions.csv"
    (pictures / "broken.png").unlink()
    caption_all(capsys, pictures, table, model_folder)
    whole = table.read_bytes()
    first = whole.splitlines(keepends=True)[:2]
    kept = b"".join([first[0], first[1].replace(b"a.png,", b"a.png,mine ")])
    table.write_bytes(kept + b"photos/b.JP")
    out = caption_all(capsys, pictures, table, model_folder)
    assert "1 of 3 are in" in out and "2 captions written" in out
    assert table.read_bytes().startswith(kept)
    assert len(table.read_bytes().splitlines()) == 4
    mine = table.read_bytes().rstrip() + b" and mine"  # no end, as editors leave it
    table.write_bytes(mine)
    out = caption_all(capsys, pictures, table, model_folder)
    assert "3 of 3 are in" in out and table.read_bytes() == mine + b"\r\n"


@pytest.mark.once
def test_a_folder_that_cannot_be_captioned_is_told(
    tmp_path, capsys, pictures, model_folder
):
    told = refusal(capsys, "caption", pictures, "--model", model_folder)
    assert "Name the table for its captions: --out captions.csv" in told
    empty = tmp_path / "empty"
    empty.mkdir()
    options = ("--out", tmp_path / "captions.csv", "--model", model_folder)
    assert "there are no pictures in" in refusal(capsys, "caption", empty, *options)
    other = tmp_path / "other.csv"
    other.write_text("price\n3\n")
    options = ("--out", other, "--model", model_folder)
    assert "is no table of captions" in refusal(capsys, "caption", pictures, *options)
    assert other.read_text() == "price\n3\n"


@pytest.mark.once
def test_what_transformers_look_at_is_shown_by_place(tmp_path, picture, capsys):
    sizes = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 8}
    applications = keras_attention.applications
    ids = {letter: i for i, letter in enumerate("abcĠ")} | {"<|endoftext|>": 4}
    tokenizer = byte_pair_tokenizer(ids, [], {"eos_token": "<|endoftext|>"})
    model = applications.VisionEncoderDecoder(
        encoder=applications.ViT(
            image_size=(16, 24), patch_size=8, num_classes=None, **sizes
        ),
        decoder=applications.GPT2(
            vocabulary_size=5,
            max_length=9,
            use_cross_attention=True,
            end_id=4,
            **sizes,
        ),
        tokenizer=tokenizer,
        padding_id=0,
        max_length=4,
    )
    with pytest.warns(UserWarning, match="no field for max_length"):
        model.save_to_preset(tmp_path / "model")
    assert applications.from_preset(tmp_path / "model").tokenizer == tokenizer
    page = tmp_path / "page.html"
    command_line.main(
        ["caption", str(picture), "--model", str(tmp_path / "model")]
        + ["--page", str(page), "--prompt", "ab"]
    )
    data = json.loads(re.search('id="data">(.*)</script>', page.read_text())[1])
    (item,) = data["items"]
    assert item["grid"] == [2, 3]
    assert len(item["words"]) <= 2 and "ab" in capsys.readouterr().out

import base64
import collections
import json
import re
import zlib

import keras
import numpy as np
import pytest

from keras_attention import layers
from keras_attention.visualization import attention_maps
from keras_attention.visualization import heads as heads_module
from keras_attention.visualization import show_heads

WORDS = ["a", "red", "dog"]
HOSTILE = ["</script>", "<img src=x onerror=alert(1)>", "{{data}}"]
SAYS = "document.getElementById('says').textContent"
NAME = "document.getElementById('name').textContent"


def data_of(view):
    return json.loads(re.search('id="data">(.*)</script>', view._page())[1])


def maps_of(view):
    """What the page makes of its bytes: one array `(N, T, S)` a layer."""
    data = data_of(view)
    packed = np.frombuffer(zlib.decompress(base64.b64decode(data["bytes"])), "uint8")
    peaks = np.frombuffer(zlib.decompress(base64.b64decode(data["peaks"])), "<f4")
    found = []
    for layer in data["maps"]:
        heads, rows, columns = layer["shape"]
        size, lines = heads * rows * columns, heads * rows
        weights = packed[:size].reshape(lines, columns) / 255 * peaks[:lines, None]
        found.append(weights.reshape(heads, rows, columns))
        packed, peaks = packed[size:], peaks[lines:]
    assert packed.size == peaks.size == 0
    return found


def softmax(rng, *shape):
    weights = np.exp(3 * rng.normal(size=shape))
    return weights / weights.sum(axis=-1, keepdims=True)


def assert_close(found, weights):
    """Within the 0.002 of the largest of its row."""
    assert found.shape == weights.shape
    assert (abs(found - weights) < 0.002 * weights.max(-1, keepdims=True)).all()


def test_the_page_holds_every_weight_in_a_byte(rng):
    weights = softmax(rng, 2, 3, 5, 7)  # layers, heads, queries, keys
    for found, expected in zip(maps_of(show_heads(weights)), weights, strict=True):
        assert_close(found, expected)


def test_one_array_may_have_the_batch_behind_the_layers(rng):
    """As `generate` returns it: layers, batch, heads, queries, keys."""
    weights = softmax(rng, 2, 4, 3, 5, 7)
    found = maps_of(show_heads(weights, index=3))
    for layer, expected in zip(found, weights[:, 3], strict=True):
        assert_close(layer, expected)


def test_layers_may_differ_in_heads_and_lengths(rng):
    maps = [softmax(rng, 2, 3, 5), softmax(rng, 4, 7, 2)]
    found = maps_of(show_heads(maps))
    assert_close(found[0], maps[0])
    assert_close(found[1], maps[1])


def test_index_picks_the_sequence_of_the_batch(rng):
    weights = softmax(rng, 2, 3, 5, 7)  # sequences, heads, queries, keys
    assert_close(maps_of(show_heads([weights]))[0], weights[0])
    assert_close(maps_of(show_heads([weights], index=1))[0], weights[1])
    assert_close(maps_of(show_heads([weights], index=-1))[0], weights[1])


@pytest.mark.once
def test_index_must_be_in_the_batch():
    with pytest.raises(ValueError, match="Received: 2, and 'layer 0' has 2 sequences"):
        show_heads([np.ones((2, 1, 3, 3))], index=2)


def test_a_dictionary_names_the_layers(rng):
    maps = {"vit/block_0/attention": softmax(rng, 2, 3, 3)}
    maps["vit/block_1/attention"] = softmax(rng, 2, 3, 3)
    shown = data_of(show_heads(maps))["maps"]
    assert [layer["name"] for layer in shown] == list(maps)
    assert [layer["short"] for layer in shown] == ["block_0", "block_1"]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a/b"], ["a/b"]),
        (["a", "a/b"], ["a", "a/b"]),
        (["m/a/x", "m/b/x", "m/b/y"], ["a/x", "b/x", "b/y"]),
        (["layer 0", "layer 1"], ["layer 0", "layer 1"]),
    ],
)
@pytest.mark.once
def test_shared_parts_of_paths_are_left_out(names, short):
    assert heads_module.short_names(names) == short


class Maps:
    """Behaves as a mapping, without being one."""

    def __init__(self, **maps):
        self.maps = maps

    def keys(self):
        return self.maps.keys()

    def __getitem__(self, name):
        return self.maps[name]


Map = collections.namedtuple("Map", ["weights", "kind"])


def test_what_holds_its_weights_as_an_attribute_is_taken(rng):
    weights = softmax(rng, 2, 4, 3, 3)
    view = show_heads(Maps(first=Map(weights, "self")), index=1)
    assert data_of(view)["maps"][0]["name"] == "first"
    assert_close(maps_of(view)[0], weights[1])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensors_of_the_backend_become_bytes(rng, dtype):
    weights = softmax(rng, 2, 3, 5)
    tensor = keras.ops.convert_to_tensor(weights, dtype)
    found = maps_of(show_heads([tensor]))[0]
    np.testing.assert_allclose(found, weights, atol=0.006)


@pytest.mark.once
def test_rows_without_a_key_are_empty(tmp_path):
    weights = np.full((1, 2, 3, 3), 1 / 3)
    weights[0, 1, 2] = 0
    view = show_heads(weights)
    np.testing.assert_array_equal(maps_of(view)[0][1, 2], [0, 0, 0])
    assert "NaN" not in view._page()
    view.figure().savefig(tmp_path / "heads.png")


@pytest.mark.once
def test_the_words_of_the_queries_serve_for_the_keys():
    (layer,) = data_of(show_heads(np.ones((1, 1, 3, 3)), WORDS))["maps"]
    assert (layer["queries"], layer["keys"]) == (WORDS, WORDS)
    (layer,) = data_of(show_heads(np.ones((1, 1, 3, 5)), WORDS))["maps"]
    assert (layer["queries"], layer["keys"]) == (WORDS, None)


@pytest.mark.once
def test_an_encoder_and_a_decoder_take_the_words_that_fit():
    ours, theirs = ["le", "chien"], WORDS
    maps = {
        "encoder": np.ones((1, 3, 3)),
        "decoder": np.ones((1, 2, 2)),
        "cross": np.ones((1, 2, 3)),
    }
    found = [
        (layer["queries"], layer["keys"])
        for layer in data_of(show_heads(maps, ours, theirs))["maps"]
    ]
    assert found == [(theirs, theirs), (ours, ours), (ours, theirs)]


def test_the_maps_of_a_model_are_taken_as_they_are():
    """Of two blocks and a pooling whose one query is no word."""
    token_ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(9, 8)(token_ids)
    x = layers.TransformerEncoder(
        layers.TransformerEncoderBlock(num_heads=2, mlp_dim=16), num_layers=2
    )(x)
    x = layers.AttentionPooling(num_heads=4)(x)
    maps = attention_maps(keras.Model(token_ids, x), np.array([[1, 2, 3], [4, 5, 6]]))
    view = show_heads(maps, WORDS, index=1)
    assert [layer["shape"] for layer in data_of(view)["maps"]] == [
        [2, 3, 3],
        [2, 3, 3],
        [4, 1, 3],
    ]
    assert [layer["queries"] for layer in data_of(view)["maps"]] == [WORDS, WORDS, None]
    assert [layer["keys"] for layer in data_of(view)["maps"]] == [WORDS] * 3
    for found, name in zip(maps_of(view), maps, strict=True):
        assert_close(found, maps[name].weights[1])


@pytest.mark.once
def test_attention_to_itself_has_the_same_words_twice():
    """Even where both sentences are of the same length."""
    maps = Maps(a=Map(np.ones((1, 3, 3)), "self"), b=Map(np.ones((1, 3, 3)), "cross"))
    own, cross = data_of(show_heads(maps, WORDS, ["x", "y", "z"]))["maps"]
    assert own["keys"] == WORDS
    assert cross["keys"] == ["x", "y", "z"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("maps", "words", "message"),
    [
        ([], {}, "at least one layer"),
        ({}, {}, "at least one layer"),
        (np.ones((2, 3, 3)), {}, r"\(2, 3, 3\). Pass a list of one array"),
        ([np.ones((3, 3))], {}, r"'layer 0' must have .*\(3, 3\). Add the axis"),
        ([np.ones((1, 0, 3))], {}, "must have the shape"),
        ([-np.ones((1, 3, 3))], {}, "after the softmax"),
        ([np.full((1, 3, 3), np.nan)], {}, "np.nan_to_num"),
        (
            [np.ones((1, 3, 5))],
            {"queries": ["a"]},
            "1 words, for layers that have 3 queries",
        ),
        ([np.ones((1, 3, 5))], {"keys": ["a"]}, "1 words, for layers that have 5 keys"),
        ([np.ones((1, 3, 3))], {"queries": "dog"}, "a list of words. Received: 'dog'"),
    ],
)
def test_what_cannot_be_shown_is_told(maps, words, message):
    with pytest.raises(ValueError, match=message):
        show_heads(maps, **words)


@pytest.mark.once
def test_a_page_that_no_browser_opens_is_refused(monkeypatch):
    monkeypatch.setattr(heads_module, "MOST_WEIGHTS", 17)
    with pytest.raises(ValueError, match="at most 17 weights. Received: 18 in 2 lay"):
        show_heads(np.ones((2, 1, 3, 3)))


@pytest.mark.once
def test_twelve_layers_of_twelve_heads_stay_below_four_megabytes(rng, tmp_path):
    """Noise, the hardest to pack; 54 MB as JSON numbers."""
    weights = softmax(rng, 12, 12, 128, 128)
    path = show_heads(weights).save(tmp_path / "heads.html")
    assert path.stat().st_size < 4_000_000


@pytest.mark.once
def test_the_figure_draws_each_head(rng, tmp_path):
    maps = {"one": softmax(rng, 3, 3, 3), "two": softmax(rng, 2, 3, 3)}
    figure = show_heads(maps, ["$a", "red", "dog$"]).figure()
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 5
    for axes, weights in zip(drawn, [*maps["one"], *maps["two"]], strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), weights, rtol=1e-6)
        assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (0, 1)
    words = [label.get_text() for label in drawn[0].get_yticklabels()]
    assert words == ["$a", "red", "dog$"]
    figure.savefig(tmp_path / "heads.png")


def two_layers():
    """Head 1 of layer 0: each word reads the one before it; "dog" in part itself."""
    weights = np.full((2, 2, 3, 3), 1 / 3)
    weights[0, 1] = [[1, 0, 0], [0.9, 0.1, 0], [0, 0.75, 0.25]]
    weights[1, 1, 0] = 0
    return weights


@pytest.fixture
def heads_page(browser, tmp_path):
    browser.show(width=1100, height=700, theme="light")
    browser.open(show_heads(two_layers(), WORDS).save(tmp_path / "heads.html"))
    yield browser
    assert len(browser.screenshot()) > 10_000
    assert browser.complaints() == []


def word(side, index):
    return (
        f"document.querySelectorAll('.lines ol')[{side}].children[{index}].firstChild"
    )


def inked(browser):
    """How many pixels the lines cover."""
    return browser.evaluate(
        """(lines => {
          const {width, height} = lines, copy = element("canvas", {width, height});
          const context = copy.getContext("2d", {willReadFrequently: true});
          context.drawImage(lines, 0, 0);
          const pixels = context.getImageData(0, 0, width, height).data;
          return pixels.filter((value, i) => i % 4 === 3 && value > 0).length;
        })(document.querySelector('.lines canvas'))"""
    )


@pytest.mark.once
def test_pointing_at_a_word_follows_its_lines_alone(heads_page):
    heads_page.press("ArrowRight")
    assert heads_page.evaluate(NAME) == "layer 0, head 1"
    every = inked(heads_page)
    heads_page.point_at(word(0, 2))
    assert heads_page.evaluate(SAYS) == "dog reads red 0.75, dog 0.25"
    assert 0 < inked(heads_page) < every
    heads_page.point_at(word(1, 0))
    assert heads_page.evaluate(SAYS) == "a is read most by a 1.00, red 0.90"
    heads_page.point_at("document.getElementById('title')")
    assert heads_page.evaluate(SAYS) == "Point at a word to follow it."
    assert inked(heads_page) == every


@pytest.mark.once
def test_the_arrow_keys_move_between_heads_and_stay_inside(heads_page):
    for key, name in [
        ("ArrowLeft", "layer 0, head 0"),
        ("ArrowRight", "layer 0, head 1"),
        ("ArrowDown", "layer 1, head 1"),
        ("ArrowDown", "layer 1, head 1"),
        ("ArrowRight", "layer 1, head 1"),
        ("ArrowUp", "layer 0, head 1"),
    ]:
        heads_page.press(key)
        assert heads_page.evaluate(NAME) == name
    pressed = "document.querySelectorAll('.all [aria-pressed=true]')"
    assert heads_page.evaluate(f"{pressed}.length") == 1
    label = f"{pressed}[0].getAttribute('aria-label')"
    assert heads_page.evaluate(label) == "layer 0, head 1"


@pytest.mark.once
def test_a_word_in_focus_is_kept_from_head_to_head(heads_page):
    heads_page.evaluate(f"{word(0, 0)}.focus()")
    heads_page.press("ArrowDown")
    assert heads_page.evaluate(SAYS) == "red reads a 0.33, red 0.33, dog 0.33"
    heads_page.press("ArrowRight")
    assert heads_page.evaluate(SAYS) == "red reads a 0.90, red 0.10"
    heads_page.press("Escape")
    assert heads_page.evaluate(SAYS) == "Point at a word to follow it."


@pytest.mark.once
def test_a_masked_row_says_so(heads_page):
    heads_page.press("ArrowRight")
    heads_page.press("ArrowDown")
    heads_page.point_at(word(0, 0))
    assert heads_page.evaluate(SAYS) == "a reads nothing: its row is masked"
    assert inked(heads_page) == 0


@pytest.mark.once
def test_a_key_turns_the_lines_into_a_matrix_and_back(heads_page):
    heads_page.press("ArrowRight")
    heads_page.press("m")
    heads_page.point_at("document.querySelector('.matrix')")
    assert re.fullmatch(r"\w+ reads \w+ with weight 0\.\d\d", heads_page.evaluate(SAYS))
    row = "[...now.matrix.picture.getContext('2d').getImageData(0, 0, 3, 1).data]"
    white, dark = [255, 255, 255, 255], [63, 18, 6, 255]
    assert heads_page.evaluate(row) == dark + white + white  # a reads a alone
    heads_page.press("m")
    assert heads_page.evaluate("document.querySelector('.lines') !== null")


@pytest.mark.once
@pytest.mark.parametrize(("tokens", "lines"), [(256, True), (257, False)])
def test_long_sequences_are_drawn_as_a_matrix(browser, tmp_path, tokens, lines):
    weights = np.eye(tokens)[None, None]
    browser.show(theme="dark")
    browser.open(show_heads(weights).save(tmp_path / "heads.html"))
    assert browser.evaluate("document.querySelector('.lines') !== null") == lines
    assert browser.complaints() == []


@pytest.mark.once
def test_the_upper_triangle_is_drawn(browser, tmp_path):
    weights = np.triu(np.ones((3, 3)))[None, None]
    browser.open(show_heads(weights).save(tmp_path / "heads.html"))
    alike = "(c => [...c.getContext('2d').getImageData(2, 0, 1, 1).data])"
    thumb = f"{alike}(document.querySelector('.all button canvas'))"
    assert browser.evaluate(thumb) != [255, 255, 255, 255]


@pytest.mark.once
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_words_of_heads_stay_text(browser, tmp_path, theme):
    view = show_heads({"<b>": np.ones((1, 3, 3))}, HOSTILE, title="<i>x</i>")
    browser.show(theme=theme)
    browser.open(view.save(tmp_path / "heads.html"))
    browser.point_at(word(0, 1))
    labels = "[...document.querySelectorAll('ol:first-child li')].map(s => s.innerText)"
    assert browser.evaluate(labels) == HOSTILE
    assert browser.evaluate("document.querySelector('main img, main i')") is None
    assert browser.complaints() == []


@pytest.mark.once
def test_a_head_unpacks_in_the_frame_of_a_notebook(browser, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html>{show_heads(two_layers(), WORDS)._repr_html_()}")
    browser.show(height=900, theme="light")
    browser.open(path, ready="document.querySelectorAll('iframe').length === 1")
    (frame,) = browser.frames()
    browser.wait_for("document.documentElement.dataset.ready === 'true'", 20, frame)
    assert browser.evaluate(NAME, frame) == "layer 0, head 0"
    assert browser.complaints() == []

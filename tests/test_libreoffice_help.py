"""The script that reads sentence pairs out of two Debian packages."""

import io
import tarfile

import pytest

from helpers import load_script

pytestmark = pytest.mark.once

PAGE = """<html><body>
<h1 id="hd_id1">{title}</h1>
<p id="par_id1" class="paragraph">{first}</p>
<p id="par_id2">{second}</p>
<p>without an id</p>
<p id="bm_id3">of another kind</p>
</body></html>"""


@pytest.fixture(scope="module")
def script():
    return load_script("libreoffice_help")


def write_package(path, language, *paragraphs):
    """A Debian package with one page: an archive of ar with one of tar in it."""
    first, second = paragraphs
    page = PAGE.format(title="Title", first=first, second=second).encode()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as files:
        name = f"./usr/share/libreoffice/help/{language}/text/shared/page.html"
        member = tarfile.TarInfo(name)
        member.size = len(page)
        files.addfile(member, io.BytesIO(page))
    data = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0"), ("data.tar.xz", tar.getvalue())):
        header = f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        data += header.encode() + content + b"\n" * (len(content) % 2)
    path.write_bytes(data)
    return str(path)


def test_paragraphs_of_the_same_id_are_paired(script, tmp_path):
    """What only another system shows is left out, and what is no sentence."""
    english = write_package(
        tmp_path / "en.deb",
        "en-US",
        'Press <span class="s"><span hidden="true">Command</span><span>Ctrl</span>'
        "</span> to <b>save</b> &amp;\n go.".replace("&amp;", "and"),
        "x = {1}",
    )
    french = write_package(
        tmp_path / "fr.deb", "fr", "Appuyez sur Ctrl pour enregistrer.", "x = {1}"
    )
    output = tmp_path / "pairs.tsv"
    script.main([english, french, "--output", str(output)])
    assert output.read_text("utf-8") == (
        "Press Ctrl to save and go.\tAppuyez sur Ctrl pour enregistrer.\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "en.deb",
        "fr.deb",
        "pairs.tsv",
    ]


def test_headings_are_paired_and_paragraphs_sentence_by_sentence(script):
    """Where one side has another number of sentences, the paragraph stays whole."""
    english = {("a", 1): "Click on it. It works.", ("b", 2): "Save it. Then go."}
    french = {("a", 1): "Cliquez dessus. Ça marche.", ("b", 2): "Le sauver et aller."}
    assert script.pair_up(english, french) == [
        ("Click on it.", "Cliquez dessus."),
        ("It works.", "Ça marche."),
        ("Save it. Then go.", "Le sauver et aller."),
    ]
    reader = script.Paragraphs()
    reader.feed(PAGE.format(title="To save it", first="x", second="y"))
    assert reader.texts["hd_id1"] == "To save it"


def test_what_is_no_package_is_told(script, tmp_path, capsys):
    path = tmp_path / "x.deb"
    path.write_text("x")
    with pytest.raises(SystemExit):
        script.main([str(path), str(path)])
    assert "x.deb' is not a Debian package" in capsys.readouterr().err

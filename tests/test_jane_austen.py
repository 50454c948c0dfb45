"""The script that reads the novels of Jane Austen out of a Debian package."""

import io
import struct
import tarfile
import zlib

import pytest

from helpers import load_script

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def script():
    return load_script("jane_austen")


def serialize(strings, version=3):
    """A vector of strings as R serializes it, in the form of its .rdb files."""
    data = b"X\n" + struct.pack(">iii", version, 0x40201, 0x30500)
    if version == 3:
        data += struct.pack(">i", 5) + b"UTF-8"
    data += struct.pack(">ii", 16, len(strings))
    for string in strings:
        text = string.encode()
        data += struct.pack(">ii", 0x40009, len(text)) + text
    return struct.pack(">i", len(data)) + zlib.compress(data)


def write_package(path, *objects):
    """A Debian package with these objects in its data file."""
    tar, content = io.BytesIO(), b"".join(objects)
    with tarfile.open(fileobj=tar, mode="w:xz") as files:
        member = tarfile.TarInfo("./usr/lib/R/site-library/x/data/Rdata.rdb")
        member.size = len(content)
        files.addfile(member, io.BytesIO(content))
    data, tar = b"!<arch>\n", tar.getvalue()
    for name, part in (("debian-binary", b"2.0"), ("data.tar.xz", tar)):
        header = f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n"
        data += header.encode() + part + b"\n" * (len(part) % 2)
    path.write_bytes(data)
    return path


def test_each_paragraph_becomes_a_line(script, tmp_path):
    novel = ["TITLE", "", "", "It is a truth,", "  acknowledged.", "", "Café."]
    other = struct.pack(">i", 3) + zlib.compress(b"X\n" + bytes(20))  # no strings
    novels = [serialize(novel, version) for version in (2, 3, 3, 3, 3, 3)]
    package = write_package(tmp_path / "x.deb", other, *novels)
    script.main([str(package), "--output", str(tmp_path / "austen")])
    paths = sorted((tmp_path / "austen").iterdir())
    assert len(paths) == 6 and paths[0].name == "emma.txt"
    for path in paths:
        text = path.read_text("utf-8")
        assert text == "TITLE\nIt is a truth, acknowledged.\nCafé.\n"


def test_what_is_no_package_is_told(script, tmp_path, capsys):
    (tmp_path / "x.deb").write_text("x")
    with pytest.raises(SystemExit):
        script.main([str(tmp_path / "x.deb")])
    assert "x.deb' is not a Debian package" in capsys.readouterr().err

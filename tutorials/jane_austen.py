"""The six novels of Jane Austen as text files, from a Debian package.

    apt-get download r-cran-janeaustenr
    python tutorials/jane_austen.py r-cran-janeaustenr_*.deb --output austen

A second; six files, 4.0 MB, 717,000 words from version 1.0.0. The texts are in the
public domain (Project Gutenberg).
"""

import argparse
import io
import pathlib
import struct
import sys
import tarfile
import zlib

DATA = "data/Rdata.rdb"
NOVELS = "emma mansfieldpark northangerabbey persuasion prideprejudice sensesensibility"
# What the first bytes of an object of R and of its strings say: their type.
STRINGS, STRING = 16, 9


def read_archive(path):
    """The data file of a Debian package."""
    data = pathlib.Path(path).read_bytes()
    if not data.startswith(b"!<arch>\n"):
        raise ValueError(f"'{path}' is not a Debian package.")
    place = 8
    while place + 60 <= len(data):
        header = data[place : place + 60]
        size = int(header[48:58])
        if header.startswith(b"data.tar"):
            archive = io.BytesIO(data[place + 60 :][:size])
            with tarfile.open(fileobj=archive) as files:
                for member in files:
                    if member.name.endswith(DATA):
                        return files.extractfile(member).read()
        place += 60 + size + size % 2
    raise ValueError(f"'{path}' has no {DATA}.")


def read_objects(data):
    """The objects of an .rdb file: each a length and a zlib stream."""
    while data:
        stream = zlib.decompressobj()
        yield stream.decompress(data[4:])
        data = stream.unused_data


def read_strings(data):
    """The strings of an object of R as `serialize` writes it, or None."""
    if not data.startswith(b"X\n"):
        return None
    (version,) = struct.unpack(">i", data[2:6])
    place = 14
    if version == 3:  # the name of the native encoding
        place += 4 + struct.unpack(">i", data[place : place + 4])[0]
    flags, count = struct.unpack(">ii", data[place : place + 8])
    if flags & 0xFF != STRINGS:
        return None
    strings, place = [], place + 8
    for _ in range(count):
        flags, length = struct.unpack(">ii", data[place : place + 8])
        if flags & 0xFF != STRING:
            return None
        strings.append(data[place + 8 : place + 8 + length].decode())
        place += 8 + length
    return strings


def paragraphs(lines):
    """Joins the lines of each paragraph, which blank lines part."""
    text = "\n".join(line.strip() for line in lines)
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def write_novels(package, output):
    """Writes the novels, a paragraph on each line.

    Args:
        package: The `.deb` file.
        output: Folder, made if it is missing.

    Returns:
        List of paths, in the order of `NOVELS`.
    """
    objects = read_objects(read_archive(package))
    novels = [strings for strings in map(read_strings, objects) if strings]
    output = pathlib.Path(output)
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, lines in zip(NOVELS.split(), novels, strict=True):
        paths.append(output / f"{name}.txt")
        text = "\n".join(paragraphs(lines)) + "\n"
        temporary = output / f"{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(paths[-1])
    return paths


def main(arguments=None):
    """Writes the novels of the package.

    Args:
        arguments: List of strings. Defaults to those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package", help="the .deb file")
    parser.add_argument("--output", default="austen", help="(%(default)s)")
    options = parser.parse_args(arguments)
    try:
        paths = write_novels(options.package, options.output)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for path in paths:
        print(f"{path.stat().st_size:7} bytes  {path}")


if __name__ == "__main__":
    sys.exit(main())

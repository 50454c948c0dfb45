"""English and French sentence pairs from the help pages of LibreOffice.

    apt-get download libreoffice-help-en-us libreoffice-help-fr
    python tutorials/libreoffice_help.py libreoffice-help-*.deb --output pairs.tsv

Ten seconds; 34,332 pairs of 2 to 25 words from version 7.4.7. A paragraph or heading
has the same id in each language, which is how the pairs are found. The texts are under
the Mozilla Public License 2.0.
"""

import argparse
import html.parser
import io
import pathlib
import re
import sys
import tarfile

PAGE = re.compile(r"usr/share/libreoffice/help/(?P<language>[^/]+)/text/.*\.html")
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# Text without code: words, and the punctuation of a sentence.
SENTENCE = re.compile(r"""["'(«“]?\w[\w ,;:()'’"«»“”/%&+.?!…–-]*""")
# Between two sentences of a paragraph.
BOUNDARY = re.compile(r"""(?<=[.?!]) (?=["(«“]?[A-ZÀ-Ý])""")


class Paragraphs(html.parser.HTMLParser):
    """The text of each paragraph and heading of a page that has an id."""

    def __init__(self):
        super().__init__()
        self.texts, self.id, self.hidden = {}, None, []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "p" or tag in HEADINGS:
            self.id, self.hidden = attributes.get("id"), []
            if self.id:
                self.texts[self.id] = ""
        elif tag == "span" and self.id:
            # What another operating system than the reader's would show.
            inside = bool(self.hidden and self.hidden[-1])
            self.hidden.append(inside or "hidden" in attributes)

    def handle_endtag(self, tag):
        if tag == "p" or tag in HEADINGS:
            self.id = None
        elif tag == "span" and self.hidden:
            self.hidden.pop()

    def handle_data(self, data):
        if self.id and not any(self.hidden):
            self.texts[self.id] += data


def read_package(path):
    """The paragraphs of a Debian package.

    Args:
        path: The `.deb` file.

    Returns:
        The language, and a dict from page and id to text.
    """
    data = pathlib.Path(path).read_bytes()
    if not data.startswith(b"!<arch>\n"):
        raise ValueError(f"'{path}' is not a Debian package.")
    place, members = 8, {}
    while place + 60 <= len(data):
        header = data[place : place + 60]
        size = int(header[48:58])
        members[header[:16].decode().strip(" /")] = data[place + 60 :][:size]
        place += 60 + size + size % 2
    (archive,) = (m for name, m in members.items() if name.startswith("data.tar"))
    language, texts = None, {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            found = PAGE.fullmatch(member.name.removeprefix("./"))
            if found and member.isfile():
                language = found["language"]
                page = member.name.partition("/text/")[2]
                reader = Paragraphs()
                reader.feed(files.extractfile(member).read().decode("utf-8"))
                for name, text in reader.texts.items():
                    texts[page, name] = " ".join(text.split())
    if not texts:
        raise ValueError(f"'{path}' has no help pages of LibreOffice.")
    return language, texts


def pair_up(source, target, most_words=25):
    """Sentences and their translations, each once.

    A paragraph and its translation are paired sentence by sentence where they have as
    many, else as a whole.

    Args:
        source: Dict from page and id to text.
        target: The same in the other language.
        most_words: Leaves out longer ones.

    Returns:
        List of pairs.
    """
    pairs = {}
    for key in sorted(source.keys() & target.keys()):
        texts = source[key], target[key]
        sentences = [BOUNDARY.split(text) for text in texts]
        if len(sentences[0]) != len(sentences[1]):
            sentences = [[text] for text in texts]
        for pair in zip(*sentences, strict=True):
            counts = [len(text.split()) for text in pair]
            if not all(SENTENCE.fullmatch(text) for text in pair):
                continue
            if pair[0] != pair[1] and 2 <= min(counts) and max(counts) <= most_words:
                pairs.setdefault(*pair)  # one translation of each sentence
    return sorted(pairs.items())


def main(arguments=None):
    """Writes the pairs of two packages as a table.

    Args:
        arguments: List of strings. Defaults to those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packages", nargs=2, metavar="PACKAGE", help="a .deb file")
    parser.add_argument("--output", default="pairs.tsv", help="(%(default)s)")
    options = parser.parse_args(arguments)
    try:
        (first, source), (second, target) = map(read_package, options.packages)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    pairs = pair_up(source, target)
    output = pathlib.Path(options.output)
    temporary = output.with_name(f"{output.name}.tmp")
    temporary.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    temporary.replace(output)
    print(f"{len(pairs)} pairs, {first} to {second}: {output}")


if __name__ == "__main__":
    sys.exit(main())

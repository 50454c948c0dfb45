"""Writes the table of presets into the README, from what `presets()` knows.

    python docs/presets.py

tests/test_readme.py holds the README against it.
"""

import pathlib

from keras_attention.applications.application import CLASSES
from keras_attention.checkpoints.presets import PARAMETERS

README = pathlib.Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- presets: python docs/presets.py -->", "<!-- end of presets -->"


def table():
    """The lines of the table: a row for each model that has presets."""
    lines = ["| model | presets, with millions of parameters |", "|---|---|"]
    for cls in CLASSES:
        if cls.__module__.startswith("keras_attention.") and cls.presets_table:
            presets = ", ".join(
                f"`{name}`" + size(entry) for name, entry in cls.presets_table.items()
            )
            lines.append(f"| `{cls.__name__}` | {presets} |")
    return lines


def size(entry):
    """The size of a preset, where its paper gives one."""
    if PARAMETERS not in entry:
        return ""
    millions = entry[PARAMETERS] / 1e6
    return f" {millions:,.0f}" if millions >= 100 else f" {millions:.1f}"


def rewritten(text):
    """The README with the table of today."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return "\n".join([before + BEGIN, "", *table(), "", END + after])


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text("utf-8")), "utf-8")

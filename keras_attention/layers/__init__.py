"""The layers of attention, one file each; no other place holds weights."""

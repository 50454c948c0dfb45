"""Writing one token after the other: caches, samplers, the decode loop."""

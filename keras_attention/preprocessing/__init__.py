"""Text and images in: vocabularies, transforms, data sets."""

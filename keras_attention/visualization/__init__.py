"""Seeing attention: figures and pages that need no network."""

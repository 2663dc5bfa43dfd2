"""Phantoms: drawn collections whose truth is known, written in the layout of the public ones."""

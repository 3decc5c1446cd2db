"""Experiments that show how well the parts work, each a function behind a script."""

"""Publishes data set, models, cards and a Space under a user's name, and checks them by loading them from there.

python -m scripts.publish --user NAME [--trained_encoder_model FOLDER] [--private] [--dry_run]

__main__.py   the command: what goes where, in which order
parts.py      the repositories: what belongs into each, and how it is pushed
checks.py     what was pushed, loaded from the Hub with an empty cache and compared
space/        the Space's own files: a page that asks the model

Run again, it pushes only what is not there yet, so it goes on where a fault or a kill has stopped it. As everywhere in
the library a push is a commit on top of what is there: it replaces files of the same names and leaves others alone.
"""

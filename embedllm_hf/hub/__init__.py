"""Everything that talks to the Hugging Face Hub.

Here: how it is asked, with timeouts and repeats (`requests.py`), fetching files of one commit (`client.py`) and making
one commit (`commits.py`), with errors that say what to do (`errors.py`), and the source files that travel with a model
(`remote_code.py`). Not here: what the files mean; a data set's layout is `data/`'s, a model's folder the model's. The
flow enters with a repository's id and leaves with a folder on this disk, or the other way round. Nothing here knows
the rest of the package but its errors and files.
"""

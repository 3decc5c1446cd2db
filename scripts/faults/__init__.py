"""What breaks the library, as programs with a seed and a table: `python -m scripts.faults.kill`, from a clone's root.

bad_files    every kind of file that is read, damaged
hub          every fault of the Hub, met while reading and while writing
hostile      names and texts of strangers in every place where they are shown or written
kill         every verb that writes, killed before each file change and at random moments
kill_world   the pool, models and files that these trials start from, and the verbs
"""

"""How fast the library is: `python -m scripts.speed`, from the root of a clone.

Each row of the table is a ratio that is measured in one process run, the two sides in turn, as the median of repeats:
a shared machine's speed drifts, a ratio of neighbours drifts less.

    settings          sizes of what is measured, and what a row is
    made              made-up pools and files, real data, and the library's training of them
    slow_references   the same work done the obvious way, and the matrix products that cannot be avoided
    training          rows about training
    serving           rows about use: scoring, single questions, new LLMs, reading files, starting
    report            all rows by name, and their table
"""

"""What only a GPU can show: `bash scripts/check_gpu.sh`, or `python -m scripts.gpu` from the root of a clone.

Each row of the table has a figure, what is expected of it, and whether it is so. Without a GPU nothing is measured,
and the exit code is neither that of success nor that of a failure. `--device cpu --quick` runs all the code anywhere.

    settings   sizes of what is measured, and what a row is
    device     the GPU's clock and memory, and which one it is
    made       made-up pools in which there is something to learn, and training of them
    network    rows about the network: pace, memory, half precision, resuming, forecasts
    text       rows about the text encoder: training it, encoding
    report     all rows by name, and their table
"""

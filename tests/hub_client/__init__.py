WEIGHTS = bytes(range(256)) * 100  # any bytes; the name ending in .safetensors makes them an LFS file

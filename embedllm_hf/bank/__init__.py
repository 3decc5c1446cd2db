"""What a model knows beside its network: frozen state and its file, no fitting."""

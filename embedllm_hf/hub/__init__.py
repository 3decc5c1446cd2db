"""Everything that talks to the Hugging Face Hub: fetching, committing, code that travels with a model."""

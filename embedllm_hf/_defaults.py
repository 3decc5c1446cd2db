"""Values that stand in more than one signature.

They are apart from the modules that use them, since the configuration travels with a model's weights (`remote_code`)
and the text encoder's module does not.
"""

DEFAULT_ENCODER = "sentence-transformers/all-mpnet-base-v2"  # the paper's
DEFAULT_ENCODER_REVISION = "e8c3b32edf5434bc2275fc9bab85f82640a19130"

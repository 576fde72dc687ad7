"""Training: from selected battles to a new checkpoint."""

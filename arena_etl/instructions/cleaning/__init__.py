"""Filters of training instructions: a module per concern, pure functions; ``chain`` puts them in order."""

"""From any source to clean instructions in splits and slices."""

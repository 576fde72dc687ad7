"""What a round did, on one page."""

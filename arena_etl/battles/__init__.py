"""Contestants answer instructions."""

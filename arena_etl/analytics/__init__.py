"""The steps whose work is SQL: merge games, rate, win rates, select."""

"""Judge prompts, the two-game protocol, parsing of verdicts, and programmatic verifiers."""

"""What answers a conversation: transformers on this machine, or answers that were recorded before."""

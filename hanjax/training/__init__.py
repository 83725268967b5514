"""Losses, the compiled epoch, the training loop and its checkpoints."""

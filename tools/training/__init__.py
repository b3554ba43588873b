"""Training SuperPoint: data, losses, stages. `tools/train_superpoint.py` is the command."""

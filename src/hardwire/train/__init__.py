"""Training in PyTorch (the `train` extra): the demo's taggers."""

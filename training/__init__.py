"""Training and evaluation on CamVid: clips, recipes, metrics."""

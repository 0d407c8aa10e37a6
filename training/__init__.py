"""Training and evaluation on CamVid and VSPW: clips, recipes, metrics."""

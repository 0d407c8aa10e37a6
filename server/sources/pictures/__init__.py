"""Pictures that clients push, and how they are decoded."""

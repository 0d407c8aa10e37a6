"""Score masks: passes with and without memory, tallies, reports, pictures."""

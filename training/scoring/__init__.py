"""What a mask is worth: passes with and without memory, tallies, reports, pictures."""

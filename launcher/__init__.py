"""Start, watch and drain servers on several machines, with Ray as the launcher."""

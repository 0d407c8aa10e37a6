"""Who calls: keys, tokens, cookies and tickets, and the gate in front of every route."""

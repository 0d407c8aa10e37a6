"""Who may do what: API keys, tickets, browser sessions, and the addresses that are trusted."""

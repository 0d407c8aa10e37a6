"""Several servers on one database: who is there, and who has which pulled stream."""

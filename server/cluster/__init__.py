"""Several servers on one database: which are alive, and which has which pulled stream."""

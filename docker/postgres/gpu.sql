-- The database of the second service: it works by itself.
CREATE DATABASE mastream_gpu OWNER mastream;

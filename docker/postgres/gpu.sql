-- The database of the second service: two servers must not share a table of videos.
CREATE DATABASE mastream_gpu OWNER mastream;

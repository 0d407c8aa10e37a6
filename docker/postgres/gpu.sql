-- The second service's own rows: two servers never share a table of videos.
CREATE DATABASE mastream_gpu OWNER mastream;

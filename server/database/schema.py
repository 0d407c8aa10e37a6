"""The current tables; the scripts in ``migrations`` upgrade older databases to them."""

from __future__ import annotations

import sqlalchemy as sql

METADATA = sql.MetaData()

VIDEOS = sql.Table(
    "videos",
    METADATA,
    sql.Column("id", sql.String(64), primary_key=True),
    sql.Column("name", sql.String(255), nullable=False),
    sql.Column("model", sql.String(255), nullable=False),
    sql.Column("size", sql.BigInteger, nullable=False),
    sql.Column("info", sql.JSON, nullable=False),
    sql.Column("artefacts", sql.JSON, nullable=False),
    sql.Column("fingerprint", sql.String(64), nullable=False),
    sql.Column("created", sql.Double, nullable=False),
    sql.Column("key", sql.String(255), unique=True),
    sql.Column("state", sql.String(16), nullable=False, index=True),
    sql.Column("frames_done", sql.Integer, nullable=False),
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("problem", sql.JSON(none_as_null=True)),
    sql.Column("started", sql.Double),
    sql.Column("ended", sql.Double),
    sql.Column("losses", sql.JSON(none_as_null=True)),
    sql.Column("style", sql.JSON(none_as_null=True)),
    sql.Column("stored", sql.BigInteger, nullable=False, server_default="0"),
    sql.Column("owner", sql.String(64), nullable=False, server_default="", index=True),
    sql.Column("spent", sql.Double, nullable=False, server_default="0"),
    sql.Column("pieces", sql.Integer),
    sql.Column("uncut", sql.String(32)),
    sql.Column("planned_for", sql.String(64)),
    sql.Column("server", sql.String(64), nullable=False, server_default=""),
    sql.Column("results", sql.String(32), nullable=False, server_default="results"),
    sql.Column("progressed", sql.Double),
)

PIECES = sql.Table(
    "pieces",
    METADATA,
    sql.Column("video", sql.String(64), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("first", sql.Integer, nullable=False),
    sql.Column("last", sql.Integer),
    sql.Column("state", sql.String(16), nullable=False),
    sql.Column("owner", sql.String(255)),
    sql.Column("epoch", sql.Integer, nullable=False),
    sql.Column("expires", sql.Double),
    sql.Column("deaths", sql.Integer, nullable=False),
    sql.Column("reached", sql.Integer),
    sql.Column("frames", sql.Integer),
    sql.Column("losses", sql.JSON(none_as_null=True)),
    sql.Column("failures", sql.Integer, nullable=False, server_default="0"),
    sql.Column("keys", sql.JSON(none_as_null=True)),
)

STREAMS = sql.Table(
    "streams",
    METADATA,
    sql.Column("name", sql.String(64), primary_key=True),
    sql.Column("definition", sql.JSON, nullable=False),
    sql.Column("created", sql.Double, nullable=False),
    sql.Column("owner", sql.String(64)),
    sql.Column("epoch", sql.Integer, nullable=False, server_default="0"),
    sql.Column("expires", sql.Double),
)

OWNERS = sql.Table(
    "owners",
    METADATA,
    sql.Column("name", sql.String(64), primary_key=True),
    sql.Column("epoch", sql.Integer, nullable=False),
    sql.Column("url", sql.String(2048)),
    sql.Column("node", sql.String(255), nullable=False),
    sql.Column("model", sql.String(255), nullable=False),
    sql.Column("sessions", sql.Integer, nullable=False),
    sql.Column("room", sql.Integer, nullable=False),
    sql.Column("draining", sql.Boolean, nullable=False),
    sql.Column("expires", sql.Double, nullable=False),
    sql.Column("videos", sql.String(64), nullable=False, server_default=""),
)

UPLOADS = sql.Table(
    "uploads",
    METADATA,
    sql.Column("id", sql.String(64), primary_key=True),
    sql.Column("length", sql.BigInteger, nullable=False),
    sql.Column("request", sql.JSON, nullable=False),
    sql.Column("key", sql.String(255), unique=True),
    sql.Column("created", sql.Double, nullable=False),
    sql.Column("ended", sql.Double),
    sql.Column("video", sql.String(64)),
    sql.Column("problem", sql.JSON(none_as_null=True)),
    sql.Column("server", sql.String(64), nullable=False, server_default=""),
)

CALLBACKS = sql.Table(
    "callbacks",
    METADATA,
    sql.Column("video", sql.String(64), primary_key=True),
    sql.Column("url", sql.Text, nullable=False),
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("next_try", sql.Double, nullable=False),
)

KEYS = sql.Table(
    "api_keys",
    METADATA,
    sql.Column("id", sql.String(64), primary_key=True),
    sql.Column("name", sql.String(255), nullable=False),
    sql.Column("role", sql.String(16), nullable=False),
    sql.Column("streams", sql.JSON, nullable=False),
    sql.Column("digests", sql.JSON, nullable=False),
    sql.Column("created", sql.Double, nullable=False),
    sql.Column("revoked", sql.Double),
    sql.Column("overlap_ends", sql.Double, nullable=False),
)

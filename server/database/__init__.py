"""The durable rows of videos and streams; SQLAlchemy and Alembic are used here alone."""

"""The durable rows of videos and streams; only this package uses SQLAlchemy and Alembic."""

"""Whether a picture begins another scene. Pure: state in, state out."""

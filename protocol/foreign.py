"""Names for bytes that clients send in place of a JPEG, PNG or WebP picture, for error messages."""

from __future__ import annotations

_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"II+\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"MM\0+", "a TIFF picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftyphev", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC or AVIF picture"),
    (4, b"ftypmsf1", "a HEIC or AVIF picture"),
    (4, b"ftyp", "an MP4 or QuickTime video"),
    (4, b"moov", "an MP4 or QuickTime video"),
    (4, b"mdat", "an MP4 or QuickTime video"),
    (4, b"wide", "an MP4 or QuickTime video"),
    (4, b"moof", "a fragment of an MP4 video"),
    (4, b"styp", "a fragment of an MP4 video"),
    (0, b"\x1aE\xdf\xa3", "a WebM or Matroska video"),
    (8, b"AVI ", "an AVI video"),
    (0, b"FLV\1", "an FLV video"),
    (0, b"OggS", "an Ogg file"),
    (0, b"\0\0\0\1", "raw H.264 or H.265 video"),
    (0, b"\0\0\1", "raw MPEG, H.264 or H.265 video"),
    (4, b"JXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"jP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"RIFF", "a RIFF file other than WebP"),
    (0, b"8BPS", "a Photoshop picture"),
    (0, b"qoif", "a QOI picture"),
    (0, b"v/1\1", "an OpenEXR picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"<svg", "an SVG picture"),
    (0, b"<?xml", "an XML or SVG document"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"/9j/", "a JPEG picture as base64 text"),
    (0, b"iVBORw0K", "a PNG picture as base64 text"),
    (0, b"UklGR", "a WebP picture as base64 text"),
    (0, b"data:", "a data: URL"),
)
"""Offset, magic bytes and name of the kind; the first match counts."""

_NETPBM = (*(b"P%d\n" % number for number in range(1, 8)), *(b"P%d " % n for n in range(1, 8)))


def foreign_kind(data: bytes | bytearray | memoryview) -> str | None:
    """Return what kind of file begins like these bytes, such as "a GIF picture", or None.

    JPEG, PNG and WebP are left to :func:`protocol.picture_kind`.
    """
    head = bytes(data[:16])
    if head.startswith(_NETPBM):
        return "a PNM picture"
    for place, magic, name in _MAGICS:
        if head.startswith(magic, place):
            return name
    return None


def is_json_text(data: bytes | bytearray | memoryview) -> bool:
    """Return whether a binary message is the JSON text of a control message.

    It cannot be a legal header length, whose two high bytes are 0, or 1 and 0.
    """
    head = bytes(data[:4])
    return len(head) == 4 and head[:1] == b"{" and head[2] >= 0x09 and head[3] >= 0x09

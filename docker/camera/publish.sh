#!/bin/sh
# Publish /clip in an endless loop, without sound, at its own frame rate. If /clip is empty, make
# ten seconds of a test picture and loop these. MediaMTX sets RTSP_PORT and MTX_PATH.
set -eu

clip=/clip
if ! [ -s "$clip" ]; then
  clip=${TMPDIR:-/tmp}/clip.mp4
  ffmpeg -nostdin -loglevel error -y -f lavfi -i testsrc2=size=640x480:rate=15:duration=10 \
    -c:v libx264 -preset veryfast -bf 0 -g 15 -pix_fmt yuv420p "$clip"
fi
exec ffmpeg -nostdin -loglevel warning -re -stream_loop -1 -i "$clip" -an -c:v copy \
  -f rtsp -rtsp_transport tcp "rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH"

# shellcheck shell=bash disable=SC2034,SC2154
# Build the CPU image as $image without a registry, on a Debian made by debootstrap. Sourced by
# docker/check and docker/compose-check, which set $image and $work, a temporary folder.
# Needs root, buildah and debootstrap.

cache=${MASTREAM_IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mastream-image}
mirror=${MASTREAM_DEBIAN_MIRROR:-http://deb.debian.org/debian}
python=${PYTHON:-.venv/bin/python}
base=localhost/mastream-base:bookworm

say() { echo "$0: $*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

images() { buildah --root "$cache/storage" --runroot "$cache/run" "$@"; }

# make_base SUITE PACKAGES: make localhost/mastream-base:SUITE, a bare Debian with these packages.
make_base() {
  local made=localhost/mastream-base:$1 filesystem="$work/base" container
  images inspect --type image "$made" >/dev/null 2>&1 && return
  say "making $made with debootstrap"
  debootstrap --variant=minbase ${2:+--include="$2"} "$1" "$filesystem" "$mirror" \
    >"$work/debootstrap.log" 2>&1 || fail "debootstrap: $(tail -3 "$work/debootstrap.log")"
  rm -rf "$filesystem"/var/cache/apt/archives/*.deb "$filesystem"/var/lib/apt/lists/*
  container=$(images from scratch)
  images add -q "$container" "$filesystem" / >/dev/null
  images commit -q "$container" "$made" >/dev/null
  images rm "$container" >/dev/null
  rm -rf "$filesystem"
  say "it is ready after $SECONDS s"
}

build_image() {
  local began=$SECONDS secrets=()
  pass_pip_settings
  images bud --quiet --layers --format docker --isolation chroot --network host --pull-never \
    "${secrets[@]}" --build-arg BASE="$base" --build-arg REVISION="$(git rev-parse HEAD)" \
    --file docker/Dockerfile --tag "$image" . >"$work/build.log" 2>&1 \
    || fail "the build: $(tail -20 "$work/build.log")"
  say "built in $((SECONDS - began)) s: $(size_of "$image")," \
    "of which $(size_of "$base") is the base"
}

# One image may have several names, and each has a line.
size_of() { images images --format '{{.Size}}' "$1" | head -n 1; }

# Let the build use this machine's pip settings: index, proxy, certificates.
pass_pip_settings() {
  local name variable value certificates=
  echo "[global]" >"$work/pip.conf"
  for name in index-url proxy trusted-host timeout cert; do
    variable=PIP_$(tr a-z- A-Z_ <<<"$name")
    value=${!variable:-$("$python" -m pip config get "global.$name" 2>/dev/null || true)}
    [[ -n $value ]] || continue
    if [[ $name == cert ]]; then certificates=$value value=/run/secrets/ca; fi
    echo "$name = $value" >>"$work/pip.conf"
  done
  secrets+=(--secret "id=pip,src=$work/pip.conf")
  [[ -z $certificates ]] || secrets+=(--secret "id=ca,src=$certificates")
}

#!/usr/bin/env bash
# Install what is no plain wheel: GPAW is compiled against libxc, OpenBLAS and FFTW (Debian or Ubuntu packages).
set -euo pipefail
PIP=${PIP:-pip}
if "$PIP" show gpaw >/dev/null 2>&1; then exit 0; fi
as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
if ! dpkg -s g++ libxc-dev libopenblas-dev libfftw3-dev >/dev/null 2>&1; then
    $as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y g++ libxc-dev libopenblas-dev libfftw3-dev
fi
config=$(mktemp)
trap 'rm -f "$config"' EXIT
cat > "$config" <<'SITE'
compiler = 'g++'
mpi = False
fftw = True
libraries = ['xc', 'openblas', 'fftw3']
SITE
GPAW_CONFIG=$config "$PIP" install --quiet --no-cache-dir --constraint constraints.txt gpaw gpaw-data

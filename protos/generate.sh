#!/bin/sh
# Generates the Python stubs and their types beside each .proto, or below the folder given as $1 (the drift test does that).
# PYTHON names the interpreter that has grpcio-tools and mypy-protobuf; default: the one on PATH.
set -eu
cd "$(dirname "$0")/.."
out="${1:-.}"
python="${PYTHON:-python3}"
bin="$(dirname "$("$python" -c 'import sys; print(sys.executable)')")"
find protos -name '*.proto' | LC_ALL=C sort | PATH="$bin:$PATH" xargs "$python" -m grpc_tools.protoc -I . \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" --mypy_grpc_out="$out"

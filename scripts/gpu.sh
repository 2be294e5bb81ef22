#!/bin/sh
# The whole chain on a GPU, with the machine's own python3 and packages; everything it measures goes to ./gpu.
# DEVICE=cpu QUICK=1 rehearses it without one. Wanted in the environment: PYTHONPATH=src, and every package of pyproject.toml's dependencies.
set -eu
PYTHON=${PYTHON:-python3}
PORT=${PORT:-8322}
LOAD=${LOAD:-0.2}
DEVICE=${DEVICE:-cuda:0}

if [ "$DEVICE" != cpu ] && ! $PYTHON -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    echo "no CUDA device (or no torch) for $PYTHON: there is nothing to do"
    exit 0
fi
superserve() { $PYTHON -m superserve_cli "$@"; }

rm -rf gpu && mkdir gpu
$PYTHON -m pytest -q -m gpu
superserve bench subnetact --device "$DEVICE" --plots gpu --json > gpu/subnetact.json
superserve bench headline --device "$DEVICE" ${QUICK:+--quick} --out gpu/headline --json > gpu/headline.json
superserve build --device "$DEVICE" --out gpu/supernet
superserve profile --device "$DEVICE" --rounds 200 --out gpu/profile.parquet
superserve replay --trace azure --profile gpu/profile.parquet --duration 30 --out gpu/policies
superserve replay --trace azure --profile gpu/profile.parquet --policy slackfit --workers 1 --load "$LOAD" --duration 20 --slo-ms 100 --out gpu/simulated
# not through the function above: the signal must reach the server, not a subshell
$PYTHON -m superserve_cli serve --device "$DEVICE" --profile gpu/profile.parquet --policy slackfit --slo-ms 100 --port "$PORT" --grpc-port 0 &
server=$!
trap 'kill $server; wait $server' EXIT
superserve replay --trace azure --target "http://127.0.0.1:$PORT" --wait 120 --load "$LOAD" --duration 20 --out gpu/live
superserve compare gpu/simulated gpu/live --allow-different kind > gpu/compare.txt
superserve report gpu/simulated gpu/live --out gpu/report > gpu/report.txt
cat gpu/compare.txt gpu/report.txt

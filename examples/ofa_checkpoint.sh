#!/bin/sh
# A SuperNet of Once-for-All, from the file that its authors released to a server that answers:
#
#     sh examples/ofa_checkpoint.sh CHECKPOINT [IMAGES.npz [PREDICTOR]]
#
# IMAGES.npz: training images x (n, 3, 224, 224) float32, normalised as for ImageNet, and classes y (n,). Without it SubnetNorm is calibrated
# on noise, which is good for latencies and for nothing else. PREDICTOR: Once-for-All's accuracy predictor; without it the search ranks by
# multiply-accumulates, and says so. FAMILY=ofa-mbv3 is for checkpoints of the MobileNetV3 SuperNets, and CompOFA's.
set -eu
checkpoint=$1
images=${2:+npz:$2}
predictor=${3:+predictor:$3}
subnets=${SUBNETS:-6}
port=${PORT:-8000}

superserve build --from "$checkpoint" --family "${FAMILY:-ofa-resnet50}" --out ofa
superserve search ofa --accuracy "${predictor:-macs}" --minutes "${MINUTES:-2}" --plot ofa-front.svg
superserve calibrate ofa --data "${images:-noise}" --images "${IMAGES:-2000}" --subnets "$subnets"
superserve export ofa --subnets "$subnets" --out ofa-onnx
superserve profile ofa-onnx --batch-sizes "${BATCH_SIZES:-1,2,4}" --rounds "${ROUNDS:-50}" ${images:+--task "$images"} --out ofa.parquet

superserve serve ofa-onnx --profile ofa.parquet --port "$port" &
server=$!
trap 'kill $server; wait $server' EXIT
superserve replay --trace poisson --target "http://127.0.0.1:$port" --wait 120 --load 0.3 --duration "${DURATION:-30}" --out ofa-run

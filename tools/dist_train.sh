#!/usr/bin/env bash
# Train on several GPUs of one or more machines; without a GPU on several CPU processes (gloo).
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Several machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=host0 PORT=29500 on the first, NODE_RANK=1 on the next.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
shift 2

if [ "${NNODES:-1}" -gt 1 ]; then
    RENDEZVOUS=(--nnodes="$NNODES" --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
elif [ -n "${PORT:-}" ]; then
    RENDEZVOUS=(--nnodes=1 --node_rank=0 --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$PORT")
else
    RENDEZVOUS=(--standalone) # takes a free port
fi

# The environment that uv keeps, where no other one is active.
VENV="$(dirname "$0")/../.venv/bin/python"
if [ -z "${PYTHON:-}${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x "$VENV" ]; then
    PYTHON=$VENV
fi

exec "${PYTHON:-python}" -m torch.distributed.run "${RENDEZVOUS[@]}" --nproc_per_node="$GPUS" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"

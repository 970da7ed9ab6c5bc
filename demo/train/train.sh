#!/bin/sh
# Makes the demo's model from nothing: the corpus's generator, tokenizer, network, GGUF, Q4_K_M, loss curve.
#
#   demo/train/train.sh [FOLDER]      results go to FOLDER [target/demo-train] and, with INSTALL=1, to demo/model
#
# Needs Python 3.11 or later with venv, and PyPI once. STEPS and DECAY set the length.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-target/demo-train}
mkdir -p "$out"
[ -x "$out/env/bin/python" ] || python3 -m venv "$out/env"
"$out/env/bin/pip" install --quiet --disable-pip-version-check -r demo/train/requirements.txt
cargo build --release -p barre-demo --features corpus --bin corpus
"$out/env/bin/python" demo/train/train.py --steps "${STEPS:-17500}" --decay-steps "${DECAY:-7000}" --out "$out"
cargo run --release -p barre -- quantize "$out/commands-f32.gguf" "$out/commands-q4_k_m.gguf" --type Q4_K_M
if [ "${INSTALL:-0}" = 1 ]; then
    cp "$out/commands-f32.gguf" "$out/commands-q4_k_m.gguf" "$out/loss.svg" demo/model/
fi

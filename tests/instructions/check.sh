#!/usr/bin/env bash
# Instructions that a token costs, decoded, in a prompt and in one of six tokens, which pay for what is done once a prompt, for
# each format and instruction set, compared with tests/vectors/instructions.txt: a regression shows on a machine however busy.
# More than 2 % either way is an error, so that a gain is kept too; BLESS=1 writes the file anew.
#
# Counted by valgrind on x86-64 (which knows AVX2, not AVX-512) and by a plug-in of QEMU on aarch64, as the difference of two
# runs divided by the difference of their tokens: loading the model cancels out.
set -euo pipefail
cd "$(dirname "$0")/../.."

need() { command -v "$1" >/dev/null || { echo "instructions: $1 is missing ($2)" >&2; exit 1; }; }
need valgrind valgrind
need qemu-aarch64 qemu-user
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
[ "$(uname -m)" = x86_64 ] || { echo "instructions: runs on x86-64" >&2; exit 1; }

kept=tests/vectors/instructions.txt
arm=aarch64-unknown-linux-gnu
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cc -shared -fPIC -O2 -Wall -Wextra -Werror tests/instructions/count.c -o "$work/count.so"
cargo build -q --release -p barre-tests --example steps
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
  cargo build -q --release -p barre-tests --example steps --target $arm

# Instructions of a whole run: ISA FORMAT PROMPT DECODED.
count() {
  local n
  if [ "$1" = avx2 ]; then
    n=$(BARRE_ISA=$1 valgrind --tool=callgrind --callgrind-out-file=/dev/null \
      "$target/release/examples/steps" "${@:2}" 2>&1 >/dev/null | sed -n 's/.*Collected : //p')
  else
    n=$(BARRE_ISA=$1 qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu -plugin "$work/count.so" \
      "$target/$arm/release/examples/steps" "${@:2}" 2>&1 >/dev/null | sed -n 's/^instructions: //p')
  fi
  [ -n "$n" ] || { echo "instructions: nothing was counted: $*" >&2; exit 1; }
  echo "$n"
}

for isa in avx2 neon dotprod i8mm; do
  for format in Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K; do
    short=$(count $isa $format 16 1)
    decode=$((($(count $isa $format 16 5) - short) / 4))
    prefill=$((($(count $isa $format 32 1) - short) / 16))
    six=$((($(count $isa $format 6 1) - $(count $isa $format 1 1)) / 5))
    echo "$isa $format decode $decode prefill $prefill six $six"
  done
done | tee "$work/now"

if [ -n "${BLESS:-}" ]; then
  { echo "# ISA, format, instructions a token: tests/instructions/check.sh"; cat "$work/now"; } >$kept
fi
awk '
  /^#/ { next }
  NR == FNR { decode[$1, $2] = $4; prefill[$1, $2] = $6; six[$1, $2] = $8; next }
  function far(what, now, then) {
    if (then == "" || now > then * 1.02 || now < then * 0.98) {
      printf "instructions: %s %s: a token %s costs %d, kept is %s\n", $1, $2, what, now, then; bad = 1
    }
  }
  { seen++; far("decoded", $4, decode[$1, $2]); far("of a prompt", $6, prefill[$1, $2]); far("of a prompt of six", $8, six[$1, $2]) }
  END { if (seen == 0) bad = 1; exit bad }
' $kept "$work/now"

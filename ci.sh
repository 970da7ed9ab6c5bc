#!/usr/bin/env bash
# Every check of the project, as named jobs: ./ci.sh [JOB ...]; without a name, all that need no special tool.
#
#   fmt     source is formatted
#   clippy  no lint fires, on x86-64 and on aarch64
#   test    the whole test suite on this machine (BARRE_SHARED names the shared test data)
#   nostd   core builds for targets that have no standard library
#   features  core with each feature alone, and with the combinations that images use, without a standard library
#   qemu    kernels and golden models as an aarch64 program under qemu-aarch64, on three CPUs
#   insn    instructions a token, by format and instruction set, are those of tests/vectors/instructions.txt
#   metal   bare-metal images boot in QEMU: bits, errors, sizes (targets/SIZES.md)
#   capi    the C library: header, tests in C under valgrind, desktop and bare-metal examples, gates
#   docs    the firmware pages followed to the letter: their programs build, and print what the pages say
#   wasm    golden logits as WebAssembly, with and without SIMD, under Node
#   bigendian-smoke  core without its longest tests, and golden models a few ways, as a big-endian program (s390x) under qemu-s390x
#   bigendian  all golden models, kernels and formats as a big-endian program (s390x) under qemu-s390x
#   miri    core's unsafe code that has no intrinsics, under Miri (nightly toolchain); parsing with 32-bit addresses and
#           saved sessions on a big-endian machine
#   fuzz-smoke  every fuzz target for 20 s on the corpus in the tree (nightly toolchain, cargo-fuzz)
#   fuzz    every fuzz target for FUZZ_SECONDS (3600), its corpus kept in fuzz/target/corpus
#   deny    licences and advisories of the dependencies (cargo-deny)
#
# A job fails when a tool that it needs is missing; none skips.
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

need() { command -v "$1" >/dev/null || { echo "ci.sh: this job needs $1${2:+ ($2)}" >&2; exit 1; }; }

job_fmt() { cargo fmt --all -- --check; }

job_clippy() {
  cargo clippy --workspace --all-targets -- -D warnings
  cargo clippy -p barre-core --target aarch64-unknown-linux-gnu -- -D warnings
}

job_test() { cargo test --workspace; }

job_nostd() {
  local t
  for t in x86_64-unknown-none aarch64-unknown-none thumbv7em-none-eabihf thumbv8m.main-none-eabihf wasm32-unknown-unknown; do
    cargo build -p barre-core --release --target "$t"
  done
}

job_features() {
  local f
  for f in "" special-tokens,sampling q4_0 q5_1 q8_0 q3_k q4_k f16 exact batch kv-q8_0 q4_k,q6_k,spm q4_k,q6_k,bpe,special-tokens,messages \
    q4_k,q6_k,bpe-llama3,dotprod q4_k,q6_k,streaming q8_0,exact,batch \
    all-formats,all-tokenizers,special-tokens,sampling,exact,batch,streaming,kv-q8_0,messages,defmt; do
    echo "== features: ${f:-none}"
    cargo clippy -q -p barre-core --target thumbv7em-none-eabihf --no-default-features --features "$f" -- -D warnings
  done
  # Decoding has kernels of its own where there are none for batches.
  cargo clippy -q -p barre-core --target aarch64-unknown-none --no-default-features --features q4_k,q6_k,bpe-llama3,dotprod \
    -- -D warnings
  # What is left out is refused by name; what is there works.
  for f in messages q4_0,q6_k,messages q4_k,q6_k,bpe-llama3,messages float-matrices,q4_k,q6_k,messages; do
    cargo test -q -p barre-core --no-default-features --features "$f" --test formats_left_out
  done
}

job_qemu() {
  need qemu-aarch64 "qemu-user"
  need aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu"
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
  local cpu pair
  # Emulation is some thirty times slower than the machine: the first CPU runs what depends on one, each other only the
  # kernels that those before it lack. `same_bits` compares with the fingerprints that x86-64 keeps.
  for pair in cortex-a53:neon cortex-a76:dotprod max:i8mm; do
    cpu=${pair%:*}
    echo "== qemu-aarch64 -cpu $cpu"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu $cpu"
    if [ "$cpu" = cortex-a53 ]; then
      cargo test --target aarch64-unknown-linux-gnu -p barre-core --lib -- kernels:: simd:: quant::
      cargo test --target aarch64-unknown-linux-gnu -p barre-tests --test golden --test origin_bugs --test quant
    else
      export BARRE_TEST_ISAS=${pair#*:}
      cargo test --target aarch64-unknown-linux-gnu -p barre-core --lib -- kernels::matmul
      env -u BARRE_SHARED cargo test --target aarch64-unknown-linux-gnu -p barre-tests --test golden
    fi
    env -u BARRE_SHARED BARRE_WAYS=few cargo test --target aarch64-unknown-linux-gnu -p barre-tests --test same_bits
    BARRE_EXPECT_ISA=${pair#*:} cargo test --target aarch64-unknown-linux-gnu -p barre-tests --test isa
  done
  unset BARRE_TEST_ISAS
  echo "== the model inside answers as it does here"
  cargo build -p barre
  cargo build --target aarch64-unknown-linux-gnu -p barre
  local target=${CARGO_TARGET_DIR:-target} commands=targets/capi/tests/commands.txt line want
  while IFS= read -r line; do
    want=$("$target/debug/barre" run -p "$line" 2>/dev/null </dev/null)
    [ -n "$want" ] && [ "$want" = "$(qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max \
      "$target/aarch64-unknown-linux-gnu/debug/barre" run -p "$line" 2>/dev/null </dev/null)" ] ||
      { echo "ci.sh: \"$line\" has another answer than $want" >&2; return 1; }
  done <"$commands"
  echo "$(wc -l <"$commands") sentences, the bytes of x86-64"
}

job_insn() { tests/instructions/check.sh; }
job_metal() { targets/check.sh; }
job_capi() { targets/capi/check.sh; }
job_docs() { docs/check.sh; }

job_wasm() {
  need node "nodejs"
  cargo build -q -p barre-core --target wasm32-unknown-unknown
  local simd module=wasm32-unknown-unknown/release/barre_wasm_check.wasm
  for simd in - +; do
    echo "== wasm32, ${simd}simd128"
    (cd targets/wasm-check && RUSTFLAGS="-C target-feature=${simd}simd128" \
      cargo build -q --release --target wasm32-unknown-unknown --target-dir "target/${simd}simd128" \
      && node run.mjs "target/${simd}simd128/$module")
  done
}

bigendian() {
  need qemu-s390x "qemu-user"
  need s390x-linux-gnu-gcc "gcc-s390x-linux-gnu"
  export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc
  export CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER="qemu-s390x -L /usr/s390x-linux-gnu"
  env -u BARRE_SHARED cargo test --target s390x-unknown-linux-gnu "$@"
}

# Two tests compare with sums of f64 products of f32 numbers, for which s390x has one instruction (MDEBR) that
# QEMU computes wrongly up to version 8.1. Nothing in core multiplies so.

job_bigendian-smoke() {
  # All of core but the products of batches, which are nine tenths of the time; the golden models take the same kernels.
  bigendian -p barre-core --lib -- --skip kernels::matmul --skip attention_is_canonical_however_it_is_blocked
  BARRE_WAYS=few bigendian -p barre-tests --test golden
}

job_bigendian() {
  bigendian -p barre-core --lib -- --skip attention_is_canonical_however_it_is_blocked
  BARRE_WAYS=few bigendian -p barre-tests --test golden --test same_bits --test quant -- \
    --skip what_is_quantized_comes_back_near
}

job_miri() {
  cargo +nightly miri --version >/dev/null || { echo "ci.sh: this job needs the miri component of nightly" >&2; exit 1; }
  # Kernels are instantiated for every instruction set elsewhere; here it is the pointers between threads.
  MIRIFLAGS=-Zmiri-ignore-leaks cargo +nightly miri test -p barre-core --lib -- kernels::parallel kernels::out kernels::acts io::
  cargo +nightly miri test -p barre-core --lib --target i686-unknown-linux-gnu -- gguf:: io::
  cargo +nightly miri test -p barre-core --lib --target s390x-unknown-linux-gnu -- session::
}

# Runs every target of the folder `fuzz` for $1 seconds; finds are added to the folder $2.
fuzz_all() {
  need cargo-fuzz "cargo install cargo-fuzz"
  local target
  for target in $(cd fuzz && cargo +nightly fuzz list --fuzz-dir .); do
    echo "== fuzz $target"
    mkdir -p "$2/$target"
    (cd fuzz && cargo +nightly fuzz run --fuzz-dir . "$target" "$2/$target" "corpus/$target" -- \
      -max_total_time="$1" -max_len=8192 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1)
  done
}

job_fuzz-smoke() { local found; found=$(mktemp -d); fuzz_all 20 "$found"; rm -rf "$found"; }

job_fuzz() { fuzz_all "${FUZZ_SECONDS:-3600}" "$PWD/fuzz/target/corpus"; }

job_deny() { need cargo-deny; cargo deny check; }

jobs=("$@")
[ ${#jobs[@]} -gt 0 ] || jobs=(fmt clippy test nostd features)
for j in "${jobs[@]}"; do
  declare -F "job_$j" >/dev/null || { echo "ci.sh: no job named $j" >&2; exit 2; }
done
for j in "${jobs[@]}"; do
  echo "=== $j"
  start=$SECONDS
  "job_$j" </dev/null
  echo "=== $j: passed in $((SECONDS - start)) s"
done

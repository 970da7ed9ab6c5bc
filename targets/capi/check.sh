#!/usr/bin/env bash
# libbarre.a from C: the header is up to date; the tests in C pass, under valgrind too; the examples for a desktop and
# for bare aarch64 answer commands as `barre run` does; the gates of gates.txt hold.
set -euo pipefail
cd "$(dirname "$0")"
MODEL=$(realpath ../../demo/model/commands-q4_k_m.gguf)
SCHEMA=$(realpath ../../demo/model/schema.json)
GOLDEN=../../tests/goldens/llama-q4_k_m.gguf
for tool in cbindgen gcc valgrind aarch64-linux-gnu-gcc qemu-system-aarch64 llvm-nm; do
  command -v "$tool" >/dev/null || { echo "check.sh: needs $tool" >&2; exit 1; }
done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
target=${CARGO_TARGET_DIR:-target}
warn=(-std=c11 -Wall -Wextra -Werror -O2 -ffunction-sections -fdata-sections -Iinclude)

echo "== header"
cbindgen --quiet --config cbindgen.toml --output "$out/barre.h" .
diff -u include/barre.h "$out/barre.h" || { echo "run: cbindgen --config cbindgen.toml --output include/barre.h ." >&2; exit 1; }
gcc "${warn[@]}" -Wpedantic -fsyntax-only -x c include/barre.h
g++ -Wall -Wextra -Werror -fsyntax-only -x c++ include/barre.h

echo "== the allocator"
cargo test -q

echo "== C on this machine"
cargo build -q --release
arch=$(uname -m)
gcc "${warn[@]}" $([ "$arch" = x86_64 ] && grep -qw avx2 /proc/cpuinfo && echo -mavx2) tests/api.c "$target/release/libbarre.a" \
  -Wl,--gc-sections -o "$out/api"
"$out/api" "$GOLDEN"
gcc "${warn[@]}" tests/api.c "$target/release/libbarre.a" -Wl,--gc-sections -o "$out/api-valgrind"
valgrind --quiet --error-exitcode=3 --leak-check=full "$out/api-valgrind" "$GOLDEN"

echo "== commands: desktop"
# What `barre run` says to each line of commands.txt.
while IFS= read -r sentence; do
  (cd ../.. && cargo run -q -p barre -- run -p "$sentence") 2>/dev/null </dev/null
done <tests/commands.txt >"$out/want.txt"
[ -s "$out/want.txt" ] || { echo "check.sh: barre run says nothing" >&2; exit 1; }
gcc "${warn[@]}" examples/desktop.c "$target/release/libbarre.a" -Wl,--gc-sections -o "$out/desktop"
valgrind --quiet --error-exitcode=3 --leak-check=full "$out/desktop" "$MODEL" "$SCHEMA" <tests/commands.txt >"$out/desktop.txt"
diff -a "$out/want.txt" "$out/desktop.txt"

echo "== commands: bare aarch64"
gcc "${warn[@]}" examples/compile-schema.c "$target/release/libbarre.a" -Wl,--gc-sections -o "$out/compile-schema"
"$out/compile-schema" "$SCHEMA" >"$out/schema.bin"
cargo build -q --release --target aarch64-unknown-none --no-default-features --features q4_k_m,bpe-llama3,compiled-schema
aarch64-linux-gnu-gcc "${warn[@]}" -ffreestanding -nostdlib -static -fno-pie -no-pie -mstrict-align \
  "-DMODEL=\"$MODEL\"" "-DSCHEMA=\"$out/schema.bin\"" -T examples/bare-aarch64/link.ld -Wl,--gc-sections,--build-id=none \
  examples/bare-aarch64/start.S examples/bare-aarch64/main.c \
  "$target/aarch64-unknown-none/release/libbarre.a" -o "$out/bare.elf"
# The end of transmission after the last line ends the image.
(cat tests/commands.txt && printf '\004') | timeout 300 qemu-system-aarch64 -M virt -cpu cortex-a53 -m 128M -nic none \
  -display none -monitor none -serial stdio -semihosting -kernel "$out/bare.elf" >"$out/bare.txt"
diff -a "$out/want.txt" "$out/bare.txt"
echo "$(wc -l <tests/commands.txt) commands, the answers of barre run"

echo "== gates"
./panics.sh "$out/bare.elf" aarch64-linux-gnu-objdump >"$out/panics.txt"
embedded=$(($(stat -c %s "$MODEL") + $(stat -c %s "$out/schema.bin")))
# Code and constants, without model, schema and the 4 KiB tables of the MMU.
text_bytes=$(aarch64-linux-gnu-size -A "$out/bare.elf" | awk -v m="$embedded" '$1 == ".text" || $1 == ".rodata" { n += $2 } END { print n - m - 4096 }')
# panics_in SYMBOLS: how many of these (a file of nm's) a panic goes through.
panics_in() {
  grep -ciE ' (core::panicking::|core::option::(expect|unwrap)_failed|core::result::unwrap_failed|core::slice::index::slice_|core::str::slice_error_fail|core::slice::copy_from_slice_impl|core::cell::panic_|alloc::raw_vec::(capacity_overflow|handle_error)|alloc::alloc::handle_alloc)|rust_begin_unwind|rust_panic' "$1" || true
}
aarch64-linux-gnu-nm -C "$out/bare.elf" >"$out/symbols"
panic_symbols=$(panics_in "$out/symbols")
panic_callers=$(wc -l <"$out/panics.txt")
# Not only in the example: nothing that a caller of these libraries can reach. Only that is in them, by link-time optimisation.
library_panic_symbols=0
for t in aarch64-unknown-none thumbv7em-none-eabihf; do
  cargo build -q --release --target "$t" --no-default-features --features q4_k_m,all-tokenizers,streaming,schema
  # It may fail over the bitcode of the compiler's own functions, after it has listed the rest.
  llvm-nm -C "$target/$t/release/libbarre.a" >"$out/symbols" 2>/dev/null || true
  grep -q ' T barre_init$' "$out/symbols" || { echo "check.sh: no library for $t" >&2; exit 1; }
  library_panic_symbols=$((library_panic_symbols + $(panics_in "$out/symbols")))
done
bad=0
printf '%-26s %10s %10s\n' gate figure limit
while read -r name limit; do
  case $name in '' | '#'*) continue ;; esac
  printf '%-26s %10s %10s\n' "$name" "${!name}" "$limit"
  [ "${!name}" -le "$limit" ] || bad=1
done <gates.txt
[ $bad = 0 ] || { echo "a figure is above its limit; functions that can panic:" >&2; cat "$out/panics.txt" >&2; exit 1; }

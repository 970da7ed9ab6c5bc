#!/usr/bin/env bash
# Builds the bare-metal images, boots every one in QEMU, and compares its answer and the bits of its logits with a desktop
# run of the same model, its exit code and message where it is made to fail, its size and stack with the limits of SIZES.md.
set -euo pipefail
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0

need() { command -v "$1" >/dev/null || { echo "check.sh: this needs $1 ($2)" >&2; exit 1; }; }
need qemu-system-aarch64 "qemu-system-arm"
need qemu-system-arm "qemu-system-arm"
need llvm-size "llvm"
need mformat "mtools"

say() { printf '%-44s %s\n' "$1" "$2"; }
wrong() { say "$1" "FAILED: $2"; sed 's/^/    /' "$out/log" | tail -40; failed=1; }

model=../demo/model/commands-q4_k_m.gguf
# What a disk or a host has: another vocabulary than the demo's.
disk_model=../tests/goldens/llama-q4_k_m.gguf

# The same demonstration on this machine: what `answer:`, `tokens:` and `logits:` are to be. The tests have built most of it.
(cd .. && cargo build -q -p barre-firmware --example desktop && cargo build -q -p barre --bin barre)
built=$(cd .. && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug
desktop=$built/examples/desktop
bits() { grep -aE '^(answer|tokens|logits): ' "$1"; }
"$desktop" >"$out/own"
"$desktop" "$disk_model" Once 2 >"$out/disk"

# The command-line tool, a program of its own, has the same answer.
json=$("$built/barre" run "$(sed -n 's/^asked: //p' "$out/own")" 2>"$out/log")
if [ "$(sed -n 's/^answer: //p' "$out/own")" = "$json" ]; then say "barre run" "$json"; else wrong "barre run" "$json"; fi

# passes NAME REFERENCE COMMAND...: exit code 0 and the reference's bits; nothing allocated after init.
passes() {
  local name=$1 reference=$2 code=0
  shift 2
  timeout 300 "$@" >"$out/log" 2>&1 </dev/null || code=$?
  if [ $code -ne 0 ]; then wrong "$name" "exit code $code"
  elif [ "$(bits "$out/log")" != "$(bits "$reference")" ]; then wrong "$name" "other bits than on a desktop: $(bits "$reference")"
  elif ! grep -q '; 0 allocations after init$' "$out/log"; then wrong "$name" "allocations after init"
  else say "$name" "$(sed -n 's/^logits: //p' "$out/log" | tr -d '\r'), as on a desktop"
  fi
}

# prints NAME PATTERN: the last image has printed that too.
prints() { grep -aqE "$2" "$out/log" || wrong "$1" "did not print \"$2\""; }

# breaks NAME PATTERN COMMAND...: exit code 1 and a line that says why.
breaks() {
  local name=$1 pattern=$2 code=0
  shift 2
  timeout 300 "$@" >"$out/log" 2>&1 </dev/null || code=$?
  if [ $code -ne 1 ]; then wrong "$name" "exit code $code, not 1"
  elif ! grep -aqE "$pattern" "$out/log"; then wrong "$name" "did not print \"$pattern\""
  else say "$name" "exit code 1: $(grep -aE "$pattern" "$out/log" | head -1 | cut -c1-90)"
  fi
}

# measures NAME ELF [DATA]: text without the DATA bytes of model and schema, and the stack that the last image has used,
# within SIZES.md's limits.
measures() {
  local name=$1 text stack limits
  text=$(llvm-size -A "$2" | awk '$1 ~ /^\.(text|rodata|data|vector_table)$/ { n += $2 } END { print n }')
  text=$((text - ${3:-0}))
  stack=$(sed -n 's/^stack: \([0-9]*\) of.*/\1/p' "$out/log")
  limits=$(awk -F'|' -v name="$name" '{ gsub(/[ ,`]/, "") } $2 == name { print $4, $6 }' SIZES.md)
  read -r text_limit stack_limit <<<"$limits" || { wrong "$name" "SIZES.md has no such line"; return; }
  say "$name: text${3:+ without model and schema}" "$text bytes, limit $text_limit"
  say "$name: stack" "${stack:-0} bytes, limit $stack_limit"
  [ "$text" -le "$text_limit" ] && [ "${stack:-999999}" -le "$stack_limit" ] || wrong "$name" "over the limit"
}

# fat_disk FILE DISK: a disk with one FAT partition, from 1 MiB on, that holds FILE.
fat_disk() {
  local mib sectors size
  mib=$(($(stat -c %s "$1") / 1048576 + 40))
  sectors=$(((mib - 1) * 2048))
  truncate -s ${mib}M "$2"
  size=$(printf '\\x%02x' $((sectors & 255)) $((sectors >> 8 & 255)) $((sectors >> 16 & 255)) $((sectors >> 24)))
  # A partition table: not bootable, FAT16 by block addresses, first sector 2048, its sectors; the signature.
  printf '\x00\x00\x00\x00\x0e\x00\x00\x00\x00\x08\x00\x00'"$size" | dd of="$2" bs=1 seek=446 conv=notrunc status=none
  printf '\x55\xaa' | dd of="$2" bs=1 seek=510 conv=notrunc status=none
  mformat -i "$2@@1M" -T "$sectors" -c 8 ::
  mcopy -i "$2@@1M" "$1" ::model.gguf
}

# build FOLDER OPTION...: its images, or what the compiler says.
build() { (cd "$1" && shift && cargo build -q --release "$@" 2>"$out/build") || { cat "$out/build"; exit 1; }; }

# schema_bytes FOLDER: of the compiled schema in its images.
schema_bytes() { find "$1/target" -path '*/barre-firmware-*/out/schema' -printf '%T@ %s\n' | sort -n | tail -1 | cut -d' ' -f2; }

semihosting=(-nic none -display none -monitor none -semihosting-config enable=on,target=native)

check_aarch64_virt() {
  # What breaks says why in words; the others are as small as they get.
  build aarch64-virt --features messages
  build aarch64-virt --bin flash --bin two-cores
  build aarch64-virt --features disk --bin block --bin host-file
  local at=aarch64-virt/target/aarch64-unknown-none/release cpu disk data
  virt() { local cpu=$1 image=$2; shift 2; qemu=(qemu-system-aarch64 -M virt -cpu "$cpu" -smp 2 -m 128M -serial stdio "${semihosting[@]}" "$@" -kernel "$at/$image"); }
  for cpu in cortex-a53:neon cortex-a76:dotprod max:i8mm; do
    virt ${cpu%:*} flash
    passes "aarch64-virt flash, ${cpu%:*}" "$out/own" "${qemu[@]}"
    # What the registers say, and the kernels that are picked for it.
    prints "aarch64-virt flash, ${cpu%:*}" "^CPU: .*${cpu#*:}\$"
    prints "aarch64-virt flash, ${cpu%:*}" "^kernels: ${cpu#*:},"
  done
  prints "aarch64-virt flash, max" '^CPU: neon dotprod i8mm$'
  data=$(($(stat -c %s "$model") + $(schema_bytes aarch64-virt)))
  measures aarch64-virt "$at/flash" $data
  virt max two-cores
  passes "aarch64-virt two-cores" "$out/own" "${qemu[@]}"
  prints "aarch64-virt two-cores" '^second core: took part in [1-9]'
  fat_disk "$disk_model" "$out/fat.img"
  for disk in "$disk_model" "$out/fat.img"; do
    virt max block -drive "if=none,file=$disk,format=raw,readonly=on,id=disk" -device virtio-blk-device,drive=disk
    passes "aarch64-virt block, ${disk##*/}" "$out/disk" "${qemu[@]}"
  done
  measures aarch64-virt-disk "$at/block"
  # The file system is read through it: the raw file must not be taken for one.
  prints "aarch64-virt block, fat.img" '^disk: a file system$'
  mkdir "$out/host" "$out/empty"
  cp "$disk_model" "$out/host/model.gguf"
  at=$PWD/$at
  virt max host-file
  passes "aarch64-virt host-file" "$out/disk" env -C "$out/host" "${qemu[@]}"
  prints "aarch64-virt host-file" '^kernels: i8mm, .* streamed$'
  breaks "aarch64-virt host-file without a file" '^error: the host has no such file' env -C "$out/empty" "${qemu[@]}"
  virt max block;       breaks "aarch64-virt block without a disk" '^error: there is no virtio disk' "${qemu[@]}"
  truncate -s 1M "$out/empty.img"
  virt max block -drive "if=none,file=$out/empty.img,format=raw,readonly=on,id=disk" -device virtio-blk-device,drive=disk
  breaks "aarch64-virt block, empty disk" '^error: the disk has no readable FAT' "${qemu[@]}"
  virt max break-panic; breaks "aarch64-virt break-panic" '^panicked at .*break-panic' "${qemu[@]}"
  virt max break-fault; breaks "aarch64-virt break-fault" '^fault: data abort' "${qemu[@]}"
  virt max break-stack; breaks "aarch64-virt break-stack" '^fault: data abort .* address 0x40100' "${qemu[@]}"
  virt max break-heap;  breaks "aarch64-virt break-heap" '^error: .*out of memory' "${qemu[@]}"
  virt max break-arena; breaks "aarch64-virt break-arena" '^error: .*the arena has 4096 bytes; the plan needs' "${qemu[@]}"
}

check_cortex_m() {
  local target board at data frames
  for target in thumbv7em-none-eabihf:mps2-an386 thumbv8m.main-none-eabihf:mps2-an505; do
    board=${target#*:} target=${target%:*}
    build cortex-m --target "$target" --features messages,streaming
    build cortex-m --target "$target" --bin flash
    build cortex-m --target "$target" --features defmt --bin log
    at=$PWD/cortex-m/target/$target/release
    mps2() { qemu=(qemu-system-arm -M "$board" -serial none "${semihosting[@]}" -kernel "$at/$1"); }
    mps2 flash;        passes "$board flash" "$out/own" "${qemu[@]}"
    data=$(($(stat -c %s "$model") + $(schema_bytes cortex-m)))
    measures "$board" "$at/flash" $data
    mps2 beyond-4-gib; passes "$board beyond-4-gib" "$out/own" "${qemu[@]}"
    prints "$board beyond-4-gib" '^read: [1-9][0-9]{6,} bytes from beyond 4 GiB$'
    mps2 log;          logs "$board log" "$at/log"
    mps2 break-panic;  breaks "$board break-panic" '^panicked at .*break-panic' "${qemu[@]}"
    mps2 break-fault;  breaks "$board break-fault" '^fault: no such memory .* address 0xdead0000' "${qemu[@]}"
    mps2 break-stack;  breaks "$board break-stack" '^fault: no room on the stack' "${qemu[@]}"
    mps2 break-heap;   breaks "$board break-heap" '^error: .*out of memory' "${qemu[@]}"
  done
}

# logs NAME ELF: the frames that the image writes with defmt, decoded by its symbols, tell of a plan and of two errors.
logs() {
  local name=$1 code=0 arena
  rm -f "$out/log.defmt"
  timeout 300 env -C "$out" "${qemu[@]}" >"$out/log" 2>&1 </dev/null || code=$?
  [ $code -eq 0 ] || { wrong "$name" "exit code $code"; return; }
  cargo run -q --release --manifest-path defmt-check/Cargo.toml -- "$2" "$out/log.defmt" >"$out/log" 2>&1 || { wrong "$name" "not decoded"; return; }
  prints "$name" '^ERROR a damaged file: Truncated \{ .*name: "tokenizer.ggml.tokens".* offset: 1000, '
  prints "$name" '^DEBUG Region \{ name: "KV cache", .* bytes: 65536 \}$'
  arena=$(sed -n 's/^INFO planned \([0-9]*\) bytes for Limits { context: 64, .*/\1/p' "$out/log")
  prints "$name" "^ERROR no arena: BufferTooSmall \{ need: ${arena:-no plan}, have: 0 \}\$"
  say "$name" "$(wc -l <"$out/log") frames: $(tail -1 "$out/log")"
}

check_aarch64_virt
check_cortex_m
[ $failed -eq 0 ] || { echo "check.sh: something failed" >&2; exit 1; }

#!/usr/bin/env bash
# Follows docs/firmware-c.md and docs/firmware-rust.md as a newcomer would: writes each block of code whose fence names a
# file to that file, in an empty folder beside the repository, runs the blocks of commands, and compares what is printed
# with what the page says. `docs/check.sh c` and `docs/check.sh rust` follow one of them.
set -euo pipefail
cd "$(dirname "$0")"
pages=("$@")
[ ${#pages[@]} -gt 0 ] || pages=(c rust)
repository=$(cd .. && pwd)
need() { command -v "$1" >/dev/null || { echo "docs/check.sh: needs $1" >&2; exit 1; }; }

# A folder that has the repository in it as `barre`. Cargo takes no configuration or lock file from above.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$repository" "$work/barre"
RUSTUP_TOOLCHAIN=$(sed -n 's/^channel = "\(.*\)"/\1/p' ../rust-toolchain.toml)
export RUSTUP_TOOLCHAIN
unset CARGO_TARGET_DIR

# extract PAGE FOLDER: ```LANGUAGE FILE ... ```; blocks of one name are one file.
extract() {
  awk -v folder="$2" '
    /^```/ && file == "" { n = split($0, word, " "); file = n == 2 ? folder "/" word[2] : "-"; next }
    /^```/ { file = ""; next }
    file != "" && file != "-" {
      if (!(file in made)) { made[file] = 1; path = file; sub(/\/[^\/]*$/, "", path); system("mkdir -p \"" path "\"") }
      print > file
    }' "$1"
}

# follow FOLDER COMMANDS OUTPUT: runs the page's file COMMANDS, whose standard output is to be its file OUTPUT.
follow() {
  echo "-- $2"
  (cd "$1" && timeout 300 bash -euo pipefail "$2" </dev/null >"$work/out") || { echo "docs/check.sh: $2 failed" >&2; cat "$work/out" >&2; exit 1; }
  diff -a "$1/$3" "$work/out"
}

for page in "${pages[@]}"; do
  echo "== firmware-$page.md"
  folder=$work/first-$page
  extract "firmware-$page.md" "$folder"
  case $page in
    c)
      for tool in gcc cmake aarch64-linux-gnu-gcc qemu-system-aarch64; do need "$tool"; done
      follow "$folder" desktop desktop.out
      follow "$folder" with-cmake desktop.out
      follow "$folder" firmware firmware.out
      gcc -std=c11 -Wall -Wextra -Werror -I ../targets/capi/include -fsyntax-only "$folder/flash.c"
      ;;
    rust)
      need qemu-system-arm
      follow "$folder" firmware firmware.out
      ;;
  esac
done
echo "what the pages say is printed"

#!/usr/bin/env bash
# Functions of the linked program ELF that can panic, and how many there are: panics.sh ELF [OBJDUMP]
set -euo pipefail
"${2:-objdump}" -dC --no-show-raw-insn "$1" | awk '
  /^[0-9a-f]+ <.*>:$/ { fn = $0; sub(/^[0-9a-f]+ </, "", fn); sub(/>:$/, "", fn) }
  /(call|jmp|bl|b)[ \t].*<(core::panicking::|core::option::(unwrap|expect)_failed|core::result::unwrap_failed|core::slice::index::slice_|core::str::slice_error_fail|core::slice::copy_from_slice_impl::len_mismatch_fail|alloc::raw_vec::(capacity_overflow|handle_error)|alloc::alloc::handle_alloc_error|core::cell::panic_)/ {
    if (fn !~ /^(core::panicking|core::option::(unwrap|expect)_failed|core::result::unwrap_failed|core::slice::index::slice_|core::str::slice_error_fail|core::slice::copy_from_slice_impl|alloc::raw_vec::(capacity_overflow|handle_error)|alloc::alloc::handle_alloc)/) count[fn]++
  }
  END { for (fn in count) printf "%4d %s\n", count[fn], fn }' | sort -k2

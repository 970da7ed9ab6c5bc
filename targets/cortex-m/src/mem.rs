//! Copying and filling memory, small.

#![allow(unsafe_code, reason = "functions that compiled code calls by these names")]

core::arch::global_asm!(include_str!("mem.s"));

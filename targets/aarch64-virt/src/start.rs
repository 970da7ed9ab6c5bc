//! What runs before Rust: `start.s`.

#![allow(unsafe_code, reason = "the machine's state as Rust expects it is made here")]

core::arch::global_asm!(include_str!("start.s"));

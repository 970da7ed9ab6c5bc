//! The board's memory, for cortex-m-rt's linker script: 4 MiB that code and model are read from in place, and 512 KiB of RAM,
//! whatever more the board has. The stack that `main` runs on is the lowest part of it; `stack.rs` guards its end.

use std::path::PathBuf;

const RAM_BYTES: u32 = 512 << 10;
const STACK_BYTES: u32 = 40 << 10;
const GUARD_BYTES: u32 = 4 << 10;

fn main() {
    let target = std::env::var("TARGET").expect("set by Cargo");
    println!("cargo::rustc-check-cfg=cfg(armv8m)");
    let (flash, ram) = match target.as_str() {
        // mps2-an386, a Cortex-M4F.
        "thumbv7em-none-eabihf" => (0x0000_0000u32, 0x2000_0000u32),
        // mps2-an505, a Cortex-M33 in its secure state.
        "thumbv8m.main-none-eabihf" => {
            println!("cargo::rustc-cfg=armv8m");
            (0x1000_0000, 0x3800_0000)
        }
        other => panic!("no board for {other}"),
    };
    let stack_top = ram + STACK_BYTES;
    let memory = format!(
        "MEMORY\n{{\n    FLASH : ORIGIN = {flash:#x}, LENGTH = 4M\n    RAM : ORIGIN = {stack_top:#x}, LENGTH = {}\n}}\n\
         __main_stack_bottom = {:#x};\n__main_stack_top = {stack_top:#x};\n",
        RAM_BYTES - STACK_BYTES,
        ram + GUARD_BYTES
    );
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("set by Cargo"));
    std::fs::write(out.join("memory.x"), memory).expect("memory.x");
    println!("cargo::rustc-link-search={}", out.display());
    if std::env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        // Where defmt's texts go, in the image's symbols alone.
        println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

//! Compiles the schema of the demo model's answers: neither the compiler nor its memory is on a device then.

use barre_core::constrain::Schema;
use std::error::Error;
use std::path::PathBuf;

const SCHEMA: &str = "../../demo/model/schema.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA}");
    println!("cargo::rerun-if-changed=build.rs");
    let compiled = Schema::parse(&std::fs::read(SCHEMA)?)?.to_compiled()?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    Ok(std::fs::write(out.join("schema"), compiled)?)
}

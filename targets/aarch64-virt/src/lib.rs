//! The board: QEMU's `virt`, one or two AArch64 cores without an operating system.
//!
//! `start.s` turns on MMU, caches and SIMD and calls [`Board`]'s owner, the `main` that an image names in [`entry!`].
//! A panic, a fault and an error of `main` print to the UART and end the emulator with an exit code other than 0.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod cpu;
#[cfg(feature = "disk")]
mod disk;
mod exit;
#[cfg(feature = "disk")]
mod fat;
mod fault;
#[cfg(feature = "disk")]
mod host_file;
mod mem;
mod power;
mod stack;
mod start;
#[cfg(feature = "disk")]
mod streamed;
mod two_cores;
mod uart;

pub use cpu::{Features, NoSimd, kernels};
#[cfg(feature = "disk")]
pub use disk::{Disk, NoDisk};
pub use exit::{fail, main_returned};
#[cfg(feature = "disk")]
pub use fat::{FatError, with_file};
#[cfg(feature = "disk")]
pub use host_file::{HostFile, NoHostFile};
pub use stack::stack_figures;
#[cfg(feature = "disk")]
pub use streamed::Streamed;
pub use two_cores::{CannotStart, TwoCores};
pub use uart::Uart;

use barre_firmware::demo::Failure;
use core::fmt;

/// Why an image's `main` gives up.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "one variant for each source of errors")]
pub enum Error {
    Demo(Failure),
    NoSimd(NoSimd),
    #[cfg(feature = "disk")]
    NoDisk(NoDisk),
    #[cfg(feature = "disk")]
    Fat(FatError),
    #[cfg(feature = "disk")]
    NoHostFile(NoHostFile),
    CannotStart(CannotStart),
    /// The console refused text.
    Console,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo(e) => e.fmt(f),
            Self::NoSimd(e) => e.fmt(f),
            #[cfg(feature = "disk")]
            Self::NoDisk(e) => e.fmt(f),
            #[cfg(feature = "disk")]
            Self::Fat(e) => e.fmt(f),
            #[cfg(feature = "disk")]
            Self::NoHostFile(e) => e.fmt(f),
            Self::CannotStart(e) => e.fmt(f),
            Self::Console => f.write_str("the console refused text"),
        }
    }
}

impl core::error::Error for Error {}

impl From<Failure> for Error {
    fn from(e: Failure) -> Self {
        Self::Demo(e)
    }
}

impl From<NoSimd> for Error {
    fn from(e: NoSimd) -> Self {
        Self::NoSimd(e)
    }
}

#[cfg(feature = "disk")]
impl From<NoDisk> for Error {
    fn from(e: NoDisk) -> Self {
        Self::NoDisk(e)
    }
}

#[cfg(feature = "disk")]
impl From<FatError> for Error {
    fn from(e: FatError) -> Self {
        Self::Fat(e)
    }
}

#[cfg(feature = "disk")]
impl From<NoHostFile> for Error {
    fn from(e: NoHostFile) -> Self {
        Self::NoHostFile(e)
    }
}

impl From<CannotStart> for Error {
    fn from(e: CannotStart) -> Self {
        Self::CannotStart(e)
    }
}

impl From<fmt::Error> for Error {
    fn from(_: fmt::Error) -> Self {
        Self::Console
    }
}

/// Names the image's `main`: `fn() -> Result<(), Error>`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn barre_start() -> ! {
            let main: fn() -> Result<(), $crate::Error> = $main;
            $crate::main_returned(main())
        }
    };
}

//! What the images do that have a disk or a host: run any model, on two cores, streamed through a window.

use crate::{Error, Features, TwoCores, Uart, kernels, stack_figures};
use barre_core::io::ReadAt;
use barre_core::kernels::Kernels;
use barre_firmware::demo::{Demo, Failure, Task, run};
use barre_firmware::memory::{Arena, HeapFigures};
use barre_firmware::text::Number;
use core::fmt::Write as _;

/// The whole machine has 128 MiB of RAM; the arena is the session's, whatever the size of the file.
static ARENA: Arena<{ 64 << 20 }> = Arena::new();

/// Bytes of weights in memory at a time.
const WINDOW: usize = 4 << 20;

/// The machine, ready for a model.
pub struct Streamed<'a> {
    kernels: Kernels,
    cores: TwoCores,
    heap: &'a dyn Fn() -> HeapFigures,
}

impl<'a> Streamed<'a> {
    /// Says what the CPU has and starts the second core.
    ///
    /// # Errors
    /// [`Error`] if there is no Advanced SIMD, or no second core.
    pub fn start(heap: &'a dyn Fn() -> HeapFigures) -> Result<Self, Error> {
        let features = Features::of_this_core();
        writeln!(Uart, "CPU: {features}")?;
        Ok(Self { kernels: kernels(features)?, cores: TwoCores::start()?, heap })
    }

    /// Continues a text with the model that `reader` has. Once: the arena is then taken.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn answer(&self, reader: &mut dyn ReadAt) -> Result<(), Failure> {
        let demo = Demo {
            kernels: &self.kernels,
            executor: &self.cores,
            arena: ARENA.take(),
            window: Some(WINDOW),
            context: 64,
            batch: 64,
            task: Task::Continue("Once", 2),
            heap: Some(self.heap),
        };
        run(reader, demo, &mut Uart)
    }

    /// Says how deep the stack went and what the second core did.
    ///
    /// # Errors
    /// [`Error`] if the console refuses text.
    pub fn tell(&self) -> Result<(), Error> {
        let (used, size) = stack_figures();
        writeln!(Uart, "stack: {} of {} bytes used at the deepest", Number::from(used), Number::from(size))?;
        writeln!(Uart, "second core: took part in {} tasks", Number(self.cores.tasks_shared().into()))?;
        Ok(())
    }
}

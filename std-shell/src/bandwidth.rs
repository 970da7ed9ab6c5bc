//! How fast this machine reads memory: the bound of decoding.

use crate::memory::Arena;
use barre_core::kernels::Executor;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Memory that is read to see how long that takes: more of it than caches hold, in huge pages where the system has them.
#[derive(Debug)]
pub struct Probe {
    memory: Arena,
}

/// Bytes of a [`Probe`].
const BYTES: usize = 256 << 20;

/// Bytes that a thread takes at a time.
const CHUNK: usize = 1 << 20;

impl Probe {
    /// Takes the memory.
    ///
    /// # Errors
    /// The system's reason for not giving it.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { memory: Arena::populated(BYTES)? })
    }

    /// Reads all of it once with all threads of `executor`; bytes a second.
    pub fn read(&mut self, executor: &dyn Executor) -> f64 {
        let bytes = &*self.memory.bytes_mut();
        let (next, sum) = (AtomicUsize::new(0), AtomicU64::new(0));
        let start = Instant::now();
        executor.broadcast(&|| {
            while let Some(chunk) = bytes.chunks(CHUNK).nth(next.fetch_add(1, Ordering::Relaxed)) {
                sum.fetch_xor(look_at(chunk), Ordering::Relaxed);
            }
        });
        let seconds = start.elapsed().as_secs_f64();
        std::hint::black_box(sum);
        BYTES as f64 / seconds
    }
}

/// Looks at every byte, 64 of them at a time and independent of each other, so that nothing but memory is waited for.
pub(crate) fn look_at(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 8];
    for line in bytes.as_chunks::<64>().0 {
        for (sum, word) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
            *sum ^= u64::from_le_bytes(*word);
        }
    }
    sums.iter().fold(0, |a, b| a ^ b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    #[test]
    fn every_byte_is_read() {
        let mut bytes = vec![0u8; CHUNK];
        assert_eq!(look_at(&bytes), 0);
        for at in [0, 63, 64, CHUNK - 1] {
            bytes[at] = 1;
            assert_ne!(look_at(&bytes), 0, "byte {at}");
            bytes[at] = 0;
        }
    }

    #[test]
    fn a_rate_comes_out_whatever_the_number_of_threads() {
        let mut probe = Probe::new().expect("memory");
        for threads in 1..=3 {
            let rate = probe.read(&Pool::new(threads).expect("threads"));
            assert!(rate.is_finite() && rate > 0.0, "{rate}");
        }
    }
}

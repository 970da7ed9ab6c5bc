//! Threads that read ahead of the computation, into buffers that they lend.
//!
//! The core announces the chunks to come in the order in which it will ask for them. Each is a request; the threads
//! take requests in turn, each with a free buffer, and the buffer waits, filled, until it is lent. So no byte is
//! copied, the storage reads on while anything is computed, and the memory is that of the buffers, which the plan
//! counts. Whoever asks for bytes that are not there yet takes requests too, until they are.

use crate::pool::room_for_a_thread;
use crate::storage::{PAGE, Storage, lock};
use barre_core::io::IoError;
use memmap2::MmapMut;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

/// Reads under way at a time: one to be served while the next is on its way to the device.
const THREADS: usize = 2;

/// The stack of a thread that only reads.
const STACK: usize = 64 << 10;

pub(crate) struct ReadAhead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    lent: Option<(MmapMut, Range<usize>)>,
    /// Bytes of the largest chunk.
    most: usize,
    slots: usize,
}

struct Shared {
    storage: Arc<Storage>,
    queue: Mutex<Queue>,
    /// There is a request and a buffer for it, or it is time to stop.
    work: Condvar,
    /// A request has been served.
    done: Condvar,
}

struct Queue {
    /// In the order in which they were announced.
    requests: VecDeque<Request>,
    free: Vec<MmapMut>,
    next_id: u64,
    stop: bool,
}

struct Request {
    id: u64,
    at: u64,
    len: usize,
    state: State,
}

enum State {
    Waiting,
    Reading,
    Done(MmapMut, Result<Range<usize>, IoError>),
}

impl ReadAhead {
    /// `slots` buffers of `slot_bytes`, whole pages, of which the last is for what begins or ends inside one.
    ///
    /// # Errors
    /// The system's reason for not giving the memory.
    pub(crate) fn new(storage: Arc<Storage>, slots: usize, slot_bytes: usize) -> std::io::Result<Self> {
        let mut free = Vec::with_capacity(slots);
        for _ in 0..slots {
            free.push(memmap2::MmapOptions::new().len(slot_bytes).populate().map_anon()?);
        }
        let queue = Queue { requests: VecDeque::with_capacity(slots), free, next_id: 0, stop: false };
        let shared = Arc::new(Shared {
            storage,
            queue: Mutex::new(queue),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let threads = (0..THREADS.min(slots))
            .map_while(|i| {
                if !room_for_a_thread() {
                    return None;
                }
                let shared = Arc::clone(&shared);
                let builder = std::thread::Builder::new().name(format!("barre-read-{i}")).stack_size(STACK);
                builder.spawn(move || shared.serve()).ok()
            })
            .collect();
        Ok(Self { shared, threads, lent: None, most: slot_bytes - PAGE, slots })
    }

    /// Has the `len` bytes at `at` read after what was announced before.
    pub(crate) fn announce(&mut self, at: u64, len: usize) {
        if len > self.most {
            return;
        }
        let mut queue = self.shared.take_back(&mut self.lent);
        // Never more are wanted than there are buffers, so the oldest of too many is one that nobody wants any more.
        if queue.requests.len() >= self.slots {
            queue.drop_oldest();
        }
        queue.push(at, len);
        drop(queue);
        self.shared.work.notify_one();
    }

    /// The `len` bytes at `at`, until the next call.
    pub(crate) fn lend(&mut self, at: u64, len: usize) -> Result<Option<&[u8]>, IoError> {
        if len > self.most {
            return Ok(None);
        }
        let mut queue = self.shared.take_back(&mut self.lent);
        // What was announced before this and not asked for will not be.
        while queue.requests.front().is_some_and(|r| (r.at, r.len) != (at, len)) {
            queue.drop_oldest();
        }
        if queue.requests.is_empty() {
            queue.push(at, len);
            self.shared.work.notify_one();
        }
        if !queue.is_front_done() {
            let start = Instant::now();
            while !queue.is_front_done() {
                // Reading itself is better than waiting for a thread that may have to wait for this core.
                queue = match queue.claim() {
                    Some(claimed) => self.shared.read(queue, claimed),
                    None => self.shared.done.wait(queue).unwrap_or_else(|e| e.into_inner()),
                };
            }
            self.shared.storage.count_stall(start.elapsed());
        }
        let Some(Request { state: State::Done(buffer, result), .. }) = queue.requests.pop_front() else {
            return Ok(None);
        };
        match result {
            Ok(range) => {
                drop(queue);
                let (buffer, range) = self.lent.insert((buffer, range));
                Ok(Some(&buffer[range.clone()]))
            }
            Err(error) => {
                queue.free.push(buffer);
                Err(error)
            }
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        lock(&self.shared.queue).stop = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadAhead")
            .field("slots", &self.slots)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl Queue {
    fn push(&mut self, at: u64, len: usize) {
        let id = self.next_id;
        self.next_id += 1;
        self.requests.push_back(Request { id, at, len, state: State::Waiting });
    }

    /// Forgets the oldest request. If it is being read, its buffer comes back when that is done.
    fn drop_oldest(&mut self) {
        if let Some(Request { state: State::Done(buffer, _), .. }) = self.requests.pop_front() {
            self.free.push(buffer);
        }
    }

    fn is_front_done(&self) -> bool {
        matches!(self.requests.front(), Some(Request { state: State::Done(..), .. }))
    }

    /// The next request that can be served, and a buffer for it.
    fn claim(&mut self) -> Option<(u64, u64, usize, MmapMut)> {
        let request = self.requests.iter_mut().find(|r| matches!(r.state, State::Waiting))?;
        let buffer = self.free.pop()?;
        request.state = State::Reading;
        Some((request.id, request.at, request.len, buffer))
    }
}

impl Shared {
    /// The queue, with the buffer in it that was lent last.
    fn take_back(&self, lent: &mut Option<(MmapMut, Range<usize>)>) -> MutexGuard<'_, Queue> {
        let mut queue = lock(&self.queue);
        if let Some((buffer, _)) = lent.take() {
            queue.free.push(buffer);
            self.work.notify_one();
        }
        queue
    }

    /// Serves requests until it is time to stop.
    fn serve(&self) {
        let mut queue = lock(&self.queue);
        while !queue.stop {
            queue = match queue.claim() {
                Some(claimed) => self.read(queue, claimed),
                None => self.work.wait(queue).unwrap_or_else(|e| e.into_inner()),
            };
        }
    }

    fn read<'q>(
        &'q self,
        queue: MutexGuard<'q, Queue>,
        (id, at, len, mut buffer): (u64, u64, usize, MmapMut),
    ) -> MutexGuard<'q, Queue> {
        drop(queue);
        let result = self.storage.read_into(at, len, &mut buffer);
        let mut queue = lock(&self.queue);
        match queue.requests.iter_mut().find(|r| r.id == id) {
            Some(request) => {
                request.state = State::Done(buffer, result);
                self.done.notify_one();
            }
            None => {
                queue.free.push(buffer);
                self.work.notify_one();
            }
        }
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn storage(name: &str, len: usize) -> (Arc<Storage>, Vec<u8>) {
        let path = std::env::temp_dir().join(format!("barre-ahead-{}-{name}", std::process::id()));
        let bytes: Vec<u8> = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        (Arc::new(Storage::new(file, None, None, None)), bytes)
    }

    #[test]
    fn what_is_lent_is_what_the_file_has_whatever_was_announced() {
        let (storage, bytes) = storage("any", 100_000);
        let mut state = 7u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for slots in [1, 2, 5] {
            let mut ahead = ReadAhead::new(Arc::clone(&storage), slots, 3 * PAGE).unwrap();
            let mut announced = VecDeque::new();
            for _ in 0..3000 {
                let place = (below(90_000), 1 + below(2 * PAGE));
                match below(4) {
                    0 => {
                        let lent = ahead.lend(place.0 as u64, place.1).unwrap().unwrap();
                        assert_eq!(lent, &bytes[place.0..][..place.1]);
                        announced.clear();
                    }
                    1 => {
                        ahead.announce(place.0 as u64, place.1);
                        announced.push_back(place);
                    }
                    _ => {
                        // Announced, perhaps so long ago that it is forgotten.
                        let (at, len) = announced.pop_front().unwrap_or(place);
                        assert_eq!(ahead.lend(at as u64, len).unwrap().unwrap(), &bytes[at..][..len]);
                    }
                }
            }
            assert_eq!(ahead.lend(0, 2 * PAGE + 1).unwrap(), None, "more than a buffer holds");
        }
    }

    #[test]
    fn each_announced_byte_is_read_once() {
        let (storage, bytes) = storage("once", 64 * PAGE);
        let mut ahead = ReadAhead::new(Arc::clone(&storage), 4, 2 * PAGE).unwrap();
        for chunk in 0..64 + 3u64 {
            if chunk < 64 {
                ahead.announce(chunk * PAGE as u64, PAGE);
            }
            if let Some(chunk) = chunk.checked_sub(3) {
                let at = chunk as usize * PAGE;
                assert_eq!(ahead.lend(at as u64, PAGE).unwrap().unwrap(), &bytes[at..][..PAGE]);
            }
        }
        assert_eq!(storage.figures().bytes, 64 * PAGE as u64);
    }

    #[test]
    fn a_failed_read_is_told_when_its_bytes_are_asked_for() {
        let (storage, bytes) = storage("fails", 3 * PAGE);
        let mut ahead = ReadAhead::new(storage, 3, 2 * PAGE).unwrap();
        for at in [0, 2, 3] {
            ahead.announce(at * PAGE as u64, PAGE);
        }
        assert_eq!(ahead.lend(0, PAGE).unwrap().unwrap(), &bytes[..PAGE]);
        assert_eq!(ahead.lend(2 * PAGE as u64, PAGE).unwrap().unwrap(), &bytes[2 * PAGE..]);
        let end = 3 * PAGE as u64;
        let missing = IoError::Truncated { offset: end, need: PAGE as u64, have: 0 };
        for _ in 0..5 {
            assert_eq!(ahead.lend(end, PAGE), Err(missing));
        }
        assert_eq!(ahead.lend(PAGE as u64, PAGE).unwrap().unwrap(), &bytes[PAGE..][..PAGE]);
    }

    #[test]
    fn without_threads_the_caller_reads() {
        let (storage, bytes) = storage("alone", 4 * PAGE);
        let mut ahead = ReadAhead::new(storage, 2, 2 * PAGE).unwrap();
        lock(&ahead.shared.queue).stop = true;
        ahead.shared.work.notify_all();
        ahead.threads.drain(..).for_each(|thread| thread.join().unwrap());
        for at in [0, 1, 3] {
            ahead.announce(at * PAGE as u64, PAGE);
            let want = &bytes[at as usize * PAGE..][..PAGE];
            assert_eq!(ahead.lend(at * PAGE as u64, PAGE).unwrap().unwrap(), want);
        }
    }
}

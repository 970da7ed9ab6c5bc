//! Readers that fail, at every call of a whole piece of work: a typed error, and then the same bits.

use barre_core::gguf::{Gguf, GgufError};
use barre_core::io::{AbsOffset, IoError, IoOp, MAX_INTERRUPTED, ReadAt, Stream};
use barre_core::kernels::{Kernels, Serial};
use barre_core::model::{Model, Plan, WeightPlacement};
use barre_core::session::{Progress, Session};
use barre_tests::faults::{
    DECODED, Failure, Fault, FaultyIo, KINDS, Lending, Outcome, Schedule, Site, Work, limits, small_file,
};
use barre_tests::models::arena;
use barre_tests::synthetic::Rng;
use embedded_io::ErrorKind;

const WINDOW: usize = 512;
const STREAMED: WeightPlacement = WeightPlacement::Streamed { window: WINDOW };
/// Every way of reading weights again and again.
const PLACEMENTS: [WeightPlacement; 3] = [
    STREAMED,
    WeightPlacement::Pinned { pinned: 4096, window: WINDOW },
    WeightPlacement::Lent { pinned: 2048, chunk: WINDOW, slots: 2 },
];

struct Bench {
    file: Vec<u8>,
    weights: WeightPlacement,
    kernels: Kernels,
    bytes: usize,
    want: Outcome,
    reads: usize,
    seeks: usize,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sites, schedules, identical, errors } = self;
        write!(
            f,
            "{sites} sites, {schedules} schedules, {errors} errors, each typed, then {identical} identical"
        )
    }
}

/// How runs ended.
#[derive(Default)]
struct Count {
    sites: usize,
    schedules: usize,
    identical: usize,
    errors: usize,
}

impl Bench {
    fn all() -> [Self; 3] {
        let all = PLACEMENTS.map(Self::new);
        assert!(all.iter().all(|b| b.want == all[0].want), "wherever the weights are");
        all
    }

    fn new(weights: WeightPlacement) -> Self {
        let file = small_file();
        let mut reader = &file[..];
        let gguf = Gguf::open(&mut reader).expect("a container");
        let model = Model::load(&gguf, &mut reader).expect("a model");
        let kernels = Kernels::scalar();
        let bytes = Plan::new(&model, &kernels, &limits(weights)).expect("a plan").bytes();
        let mut bench = Self { file, weights, kernels, bytes, want: Outcome::default(), reads: 0, seeks: 0 };
        let schedule = Schedule::new([None; 2]);
        bench.want = bench.run(&schedule, &mut |e| panic!("{}", e.text())).expect("an outcome");
        (bench.reads, bench.seeks) = (schedule.reads.get(), schedule.seeks.get());
        assert_eq!(bench.want.logits.len(), 32 * (DECODED + 1));
        bench
    }

    fn run(&self, schedule: &Schedule, go_on: &mut dyn FnMut(Failure) -> bool) -> Option<Outcome> {
        let mut memory = arena(self.bytes, 0xa5);
        let mut outcome = Outcome::with_room();
        let mut work =
            Work { kernels: &self.kernels, limits: limits(self.weights), arena: memory.bytes_mut() };
        let mut reader = Lending::new(Stream::new(FaultyIo::new(&self.file, schedule)), WINDOW);
        work.run(&mut reader, &mut outcome, go_on)?;
        // Bounded: a schedule with faults in it makes a few times the calls of one without.
        assert!(
            self.reads == 0 || schedule.most.get() < 1000 || schedule.reads.get() < 4 * self.reads + 1000
        );
        Some(outcome)
    }

    /// Each fault must be told of as `expected` has it; a lasting one ends after three tellings. Then the bits are
    /// those of the run without faults.
    fn recovers(&self, count: &mut Count, sites: [Option<Site>; 2], expected: bool) {
        let schedule = Schedule::new(sites);
        let mut errors = 0;
        let outcome = self.run(&schedule, &mut |e| {
            let io = e.io().unwrap_or_else(|| panic!("{sites:?}: {e:?}"));
            let (at, fault) = schedule.last.get().expect("a fault");
            if expected {
                matches_fault(io, at, fault, sites);
            }
            errors += 1;
            if errors == 3 {
                schedule.clear();
            }
            true
        });
        assert!(outcome.is_some_and(|o| o == self.want), "{sites:?}: other bits");
        count.schedules += 1;
        count.identical += 1;
        count.errors += errors;
    }
}

fn matches_fault(io: IoError, at: u64, fault: Fault, sites: [Option<Site>; 2]) {
    let fits = match (fault, io) {
        (Fault::Fails(want), IoError::Io { op: IoOp::Read | IoOp::Seek, kind, offset, .. }) => {
            kind == want && offset == at
        }
        (Fault::Fails(want), IoError::Io { op: IoOp::Len, kind, .. }) => kind == want,
        (Fault::Nothing, IoError::Truncated { offset, need, have }) => offset == at && have < need,
        (Fault::TooMany, IoError::Contract { op: IoOp::Read, offset, got, want }) => {
            offset == at && got == want + 1
        }
        (Fault::Elsewhere, IoError::Contract { op: IoOp::Seek, offset, got, want }) => {
            offset == at && want == at && got == at + 1
        }
        _ => false,
    };
    assert!(fits, "{sites:?}: {io}");
}

fn site(seek: bool, call: usize, times: usize, fault: Fault) -> [Option<Site>; 2] {
    [Some(Site { seek, call, times, fault }), None]
}

#[test]
fn f03_f05_f06_every_read_fails_once_and_for_good() {
    for bench in Bench::all() {
        let mut count = Count { sites: bench.reads, ..Count::default() };
        let faults = KINDS.map(Fault::Fails).into_iter().chain([Fault::Nothing, Fault::TooMany]);
        for fault in faults {
            for call in 0..bench.reads {
                for times in [1, usize::MAX] {
                    bench.recovers(&mut count, site(false, call, times, fault), true);
                }
            }
        }
        println!("F03 F05 F06, {:?}: {count}", bench.weights);
    }
}

#[test]
fn f07_f08_every_seek_fails_or_ends_elsewhere() {
    for bench in Bench::all() {
        let mut count = Count { sites: bench.seeks, ..Count::default() };
        for fault in KINDS.map(Fault::Fails).into_iter().chain([Fault::Elsewhere]) {
            for call in 0..bench.seeks {
                for times in [1, usize::MAX] {
                    // Where the length is asked for, elsewhere is another length: F11.
                    if fault == Fault::Elsewhere && call == 0 {
                        continue;
                    }
                    bench.recovers(&mut count, site(true, call, times, fault), true);
                }
            }
        }
        println!("F07 F08, {:?}: {count}", bench.weights);
    }
}

#[test]
fn f04_interruptions_are_passed_over_up_to_the_bound() {
    for bench in Bench::all() {
        let mut count = Count { sites: bench.reads + bench.seeks, ..Count::default() };
        let fault = Fault::Fails(ErrorKind::Interrupted);
        let most = MAX_INTERRUPTED as usize;
        for (seek, calls) in [(false, bench.reads), (true, bench.seeks)] {
            for call in 0..calls {
                for times in [1, 3, most] {
                    let before = count.errors;
                    bench.recovers(&mut count, site(seek, call, times, fault), true);
                    assert_eq!(count.errors, before, "no error for {times} interruptions");
                }
                let before = count.errors;
                bench.recovers(&mut count, site(seek, call, usize::MAX, fault), true);
                assert_eq!(count.errors, before + 3, "an error for each {} interruptions", most + 1);
            }
        }
        println!("F04, {:?}: {count}", bench.weights);
    }
}

#[test]
fn f01_f02_short_reads_give_the_same_bits() {
    for bench in Bench::all() {
        let mut count = Count { sites: 1, ..Count::default() };
        for (most, seed) in [(1, 0), (2, 0), (7, 0)].into_iter().chain((0..100).map(|seed| (0, seed))) {
            let schedule = Schedule::new([None; 2]);
            schedule.most.set(most);
            schedule.seed.set(seed);
            let outcome = bench.run(&schedule, &mut |e| panic!("{}", e.text()));
            assert!(outcome.is_some_and(|o| o == bench.want), "reads of {most}, seed {seed}");
            count.schedules += 1;
            count.identical += 1;
        }
        println!("F01 F02, {:?}: {count}", bench.weights);
    }
}

#[test]
fn f10_d12_what_changes_between_reads_never_panics_and_the_header_is_read_once() {
    let bench = Bench::new(STREAMED);
    let (mut same, mut other, mut refused) = (0, 0, 0);
    for call in 0..bench.reads {
        for seed in 0..4 {
            let schedule = Schedule::new(site(false, call, 1, Fault::Changed));
            schedule.seed.set(seed);
            match bench.run(&schedule, &mut |e| {
                assert!(!e.text().contains(char::is_control), "{}", e.text());
                false
            }) {
                Some(outcome) if outcome == bench.want => same += 1,
                Some(_) => other += 1,
                None => refused += 1,
            }
        }
    }
    println!("F10: {} sites, {same} identical, {other} other logits, {refused} errors", bench.reads);

    // Nothing that was checked is read again: of the header only what arrays hold, whose sum is checked once more.
    let mut reader = Watched { bytes: &bench.file, times: vec![0; bench.file.len()] };
    let mut memory = arena(bench.bytes, 0);
    let mut outcome = Outcome::with_room();
    let mut work = Work { kernels: &bench.kernels, limits: limits(STREAMED), arena: memory.bytes_mut() };
    work.run(&mut reader, &mut outcome, &mut |e| panic!("{}", e.text())).expect("an outcome");
    let gguf = Gguf::open(&mut &bench.file[..]).expect("a container");
    let mut again: Vec<usize> =
        (0..gguf.data().base().get() as usize).filter(|&i| reader.times[i] > 1).collect();
    for entry in gguf.metadata() {
        if let Ok(array) = entry.array() {
            let start = array.offset().get();
            again.retain(|&i| !(start..start + array.byte_len()).contains(&(i as u64)));
        }
    }
    assert!(again.is_empty(), "read again: {again:?}");
}

/// Counts how often each byte is read.
struct Watched<'a> {
    bytes: &'a [u8],
    times: Vec<u32>,
}

impl ReadAt for Watched<'_> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        self.bytes.read_at(at, buf)?;
        self.times[at.get() as usize..][..buf.len()].iter_mut().for_each(|n| *n += 1);
        Ok(())
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.bytes.len() as u64)
    }
}

#[test]
fn f09_f11_d12_a_file_that_shrinks_is_truncated_and_comes_back() {
    let bench = Bench::new(STREAMED);
    let len = bench.file.len() as u64;
    let mut count = Count { sites: bench.reads, ..Count::default() };
    // Cut to different lengths while read number `call` is next, until the third error.
    for call in 0..bench.reads {
        for cut in [0, 100, len / 2, len - 1] {
            let schedule = Schedule::new([None; 2]);
            let mut reader = Stream::new(Cutting { inner: FaultyIo::new(&bench.file, &schedule), call, cut });
            let mut memory = arena(bench.bytes, 0xa5);
            let mut outcome = Outcome::with_room();
            let mut work =
                Work { kernels: &bench.kernels, limits: limits(STREAMED), arena: memory.bytes_mut() };
            let mut errors = 0;
            work.run(&mut reader, &mut outcome, &mut |e| {
                match (&e, e.io()) {
                    (_, Some(IoError::Truncated { offset, need, have })) => {
                        assert!(offset >= cut && have < need, "{cut}: {}", e.text());
                    }
                    // Opened again, it is a shorter file.
                    (Failure::Gguf(GgufError::Truncated { offset, .. }), _) => assert_eq!(*offset, cut),
                    (Failure::Gguf(GgufError::TensorOutOfFile { file_end, .. }), _) => {
                        assert_eq!(*file_end, cut);
                    }
                    _ => panic!("{cut}: {e:?}"),
                }
                errors += 1;
                if errors == 3 {
                    // Back at its full length.
                    schedule.len.set(Some(len));
                    schedule.seed.set(1);
                }
                true
            })
            .expect("an outcome");
            assert!(outcome == bench.want, "read {call}, cut to {cut}");
            count.schedules += 1;
            count.identical += 1;
            count.errors += errors;
        }
    }
    println!("F09 D12: {count}");

    // A length that is a lie: too small is found by the container, too large where the bytes end.
    let (mut small, mut large) = (0, 0);
    for claimed in (0..len).step_by(97).chain([len - 1]) {
        let schedule = Schedule::new([None; 2]);
        schedule.len.set(Some(claimed));
        let outcome = bench.run(&schedule, &mut |e| {
            assert!(matches!(e, Failure::Gguf(_)), "{e:?}");
            false
        });
        assert!(outcome.is_none(), "a length of {claimed}");
        small += 1;
    }
    for claimed in [len + 1, len + 4096, 1 << 40, i64::MAX as u64, u64::MAX] {
        let schedule = Schedule::new([None; 2]);
        schedule.len.set(Some(claimed));
        let mut told = 0;
        let outcome = bench.run(&schedule, &mut |e| {
            // The header is read in pages, the last of which is not all there.
            assert!(matches!(e.io(), Some(IoError::Truncated { offset, .. }) if offset == len), "{e:?}");
            told += 1;
            false
        });
        assert!(told == 1 || outcome.is_some_and(|o| o == bench.want), "a length of {claimed}");
        large += 1;
    }
    println!("F11: {small} lengths too small, {large} too large");
}

/// Shrinks to `cut` bytes once read number `call` has come, unless that has been taken back.
struct Cutting<'a> {
    inner: FaultyIo<'a>,
    call: usize,
    cut: u64,
}

impl embedded_io::ErrorType for Cutting<'_> {
    type Error = ErrorKind;
}

impl embedded_io::Read for Cutting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let schedule = self.inner.schedule();
        if schedule.reads.get() == self.call && schedule.seed.get() == 0 {
            schedule.len.set(Some(self.cut));
        }
        self.inner.read(buf)
    }
}

impl embedded_io::Seek for Cutting<'_> {
    fn seek(&mut self, to: embedded_io::SeekFrom) -> Result<u64, ErrorKind> {
        self.inner.seek(to)
    }
}

#[test]
fn f24_pairs_of_faults_of_any_kind() {
    for bench in Bench::all() {
        let mut count = Count { sites: bench.reads + bench.seeks, ..Count::default() };
        let mut rng = Rng(24);
        for _ in 0..1000 {
            let one = |rng: &mut Rng| {
                let seek = rng.below(4) == 0;
                let fault = match rng.below(4) {
                    0 => Fault::Fails(rng.one_of(&KINDS)),
                    1 => Fault::Fails(ErrorKind::Interrupted),
                    2 if !seek => Fault::Nothing,
                    2 => Fault::Fails(ErrorKind::TimedOut),
                    _ if seek => Fault::Fails(ErrorKind::Other),
                    _ => Fault::TooMany,
                };
                let call = rng.below(if seek { bench.seeks } else { bench.reads });
                Site { seek, call, times: rng.one_of(&[1, 2, 17, 40, usize::MAX]), fault }
            };
            let first = one(&mut rng);
            // The second at any place, or right behind the first: on the retry.
            let mut second = one(&mut rng);
            if rng.below(2) == 0 {
                second =
                    Site { seek: first.seek, call: first.call.saturating_add(first.times.min(50)), ..second };
                if second.seek && !matches!(second.fault, Fault::Fails(_)) {
                    second.fault = Fault::Elsewhere;
                }
                if second.seek && second.call == 0 {
                    continue;
                }
            }
            bench.recovers(&mut count, [Some(first), Some(second)], false);
        }
        println!("F24, {:?}: {count}", bench.weights);
    }
}

#[test]
fn f22_work_cancelled_at_every_advance_leaves_the_next_step_as_it_was() {
    let bench = Bench::new(STREAMED);
    let mut reader = &bench.file[..];
    let gguf = Gguf::open(&mut reader).expect("a container");
    let model = Model::load(&gguf, &mut reader).expect("a model");
    let plan = Plan::new(&model, &bench.kernels, &limits(STREAMED)).expect("a plan");
    let mut memory = arena(plan.bytes(), 0xa5);
    let mut session =
        Session::new(&model, reader, &plan, memory.bytes_mut(), &bench.kernels, &Serial).expect("a session");
    let tokens = &bench.want.tokens;
    let prompt = tokens.len() - DECODED;
    let bits =
        |session: &Session<'_, &[u8]>| session.logits().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let mut cancelled = 0;
    for step in 0..=DECODED {
        let work = if step == 0 { &tokens[..prompt] } else { &tokens[prompt + step - 1..][..1] };
        let position = session.position();
        for pieces in 0.. {
            session.begin(work).expect("room");
            let mut done = false;
            for _ in 0..pieces {
                done = session.advance().expect("no fault") == Progress::Ready;
            }
            if done {
                break;
            }
            session.cancel();
            assert_eq!(session.position(), position);
            cancelled += 1;
        }
        assert!(bits(&session) == bench.want.logits[32 * step..][..32], "step {step}");
    }
    println!("F22: {cancelled} pieces of work cancelled, every logit identical");
}

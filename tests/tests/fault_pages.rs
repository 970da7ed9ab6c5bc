//! F19 and F23: a page without access behind every buffer, and a stack of few pages.

use barre::engine::{Engine, OpenOptions};
use barre_core::gguf::Gguf;
use barre_core::kernels::{Kernels, Mode, Serial};
use barre_core::model::{Model, Plan, WeightPlacement};
use barre_core::quant::WeightFormat;
use barre_core::session::Session;
use barre_tests::faults::{Outcome, Work, limits, small_file};
use barre_tests::models::{Run, all_kernels, arena};
use barre_tests::synthetic::{Spec, Synthetic};
use std::process::Command;

/// Bytes that end where a page without access begins.
struct Fenced {
    map: *mut u8,
    map_len: usize,
    start: usize,
    len: usize,
}

impl Fenced {
    fn new(len: usize) -> Self {
        // A multiple of the page size of every machine this runs on.
        const PAGE: usize = 1 << 16;
        let body = len.next_multiple_of(PAGE);
        let map_len = body + PAGE;
        // SAFETY: a new private mapping, of memory that nobody else has.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                map_len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert!(map != libc::MAP_FAILED, "a mapping");
        let map: *mut u8 = map.cast();
        // SAFETY: the last page of the mapping made above.
        let fenced = unsafe { libc::mprotect(map.add(body).cast(), PAGE, libc::PROT_NONE) };
        assert_eq!(fenced, 0, "a page without access");
        Self { map, map_len, start: body - len, len }
    }

    fn of(bytes: &[u8]) -> Self {
        let mut fenced = Self::new(bytes.len());
        fenced.bytes_mut().copy_from_slice(bytes);
        fenced
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `start..start + len` lies in the accessible part of the mapping, which lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.map.add(self.start), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.map.add(self.start), self.len) }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, to which no reference is left.
        unsafe { libc::munmap(self.map.cast(), self.map_len) };
    }
}

/// The model's file with its last tensor's last byte as the file's.
fn ending_in_data(model: &Synthetic) -> Vec<u8> {
    let last = model.tensors.last().expect("a tensor").data.len();
    let mut file = model.file();
    file.truncate(file.len() - last.next_multiple_of(32) + last);
    file
}

#[test]
fn f19_no_kernel_touches_a_byte_behind_its_buffers() {
    let tokens = [1, 9, 4, 30, 7];
    let mut runs = 0;
    for format in WeightFormat::ALL {
        let spec = Spec::in_formats(&[format]);
        let layers = spec.layers[..1].to_vec();
        let mut model = Spec { vocab: 33, biases: true, layers, ..spec }.build();
        for kernels in all_kernels() {
            for mode in [Mode::Int8, Mode::Exact] {
                for batch in [1, usize::MAX] {
                    let run = Run { mode, batch, ..Run::new(&kernels, &Serial) };
                    let want = run.logits(&model.file()[..], &tokens);
                    // A matrix of each shape once at the file's end.
                    for name in [
                        "blk.0.attn_k.weight",
                        "blk.0.ffn_up.weight",
                        "blk.0.ffn_down.weight",
                        "output.weight",
                    ] {
                        let at = model.tensors.iter().position(|t| t.name == name).expect("a tensor");
                        let tensor = model.tensors.remove(at);
                        model.tensors.push(tensor);
                        let file = Fenced::of(&ending_in_data(&model));
                        let mut reader = file.bytes();
                        let gguf = Gguf::open(&mut reader).expect("a container");
                        let loaded = Model::load(&gguf, &mut reader).expect("a model");
                        let plan = Plan::new(&loaded, &kernels, &run.limits(tokens.len())).expect("a plan");
                        assert_eq!(plan.bytes() % Plan::ALIGN, 0, "so the arena can end at a page");
                        let mut memory = Fenced::new(plan.bytes());
                        memory.bytes_mut().fill(0xff);
                        let mut session =
                            Session::new(&loaded, reader, &plan, memory.bytes_mut(), &kernels, &Serial)
                                .expect("a session");
                        let mut got = Vec::new();
                        session
                            .prefill_each(&tokens, &mut |_, logits| got.extend_from_slice(logits))
                            .expect("room");
                        assert!(got == want, "{format} {name}");
                        runs += 1;
                    }
                }
            }
        }
    }
    println!("F19: {runs} models that end at a page without access, in arenas that do");
}

const STACK: &str = "BARRE_TEST_STACK";

/// The whole piece of work on a thread with the stack that the environment asks for. Does nothing by itself.
#[test]
fn on_a_small_stack() {
    let Some(bytes) = std::env::var(STACK).ok().and_then(|n| n.parse::<usize>().ok()) else { return };
    let file = small_file();
    let kernels: &'static [Kernels] = all_kernels().leak();
    let need = {
        let gguf = Gguf::open(&mut &file[..]).expect("a container");
        let model = Model::load(&gguf, &mut &file[..]).expect("a model");
        let bytes = kernels.iter().map(|k| Plan::new(&model, k, &limits(STREAMED)).expect("a plan").bytes());
        bytes.max().expect("scalar at least")
    };
    let mut memory = arena(need, 0);
    let mut outcome = Outcome::with_room();
    let work = move || {
        for kernels in kernels {
            outcome.logits.clear();
            outcome.tokens.clear();
            outcome.text.clear();
            let mut work = Work { kernels, limits: limits(STREAMED), arena: memory.bytes_mut() };
            let mut reader = &file[..];
            work.run(&mut reader, &mut outcome, &mut |_| false).expect("an outcome");
        }
    };
    if bytes >= SHELL {
        let path = std::env::temp_dir().join(format!("barre-stack-{}", std::process::id()));
        std::fs::write(&path, small_file()).expect("a temporary file");
        let open = move || {
            let options = OpenOptions { threads: Some(1), ..OpenOptions::default() };
            let engine = Engine::open(&path, &options).expect("a model");
            engine.tokenizer().expect("a vocabulary");
            std::fs::remove_file(path).expect("it was there");
        };
        std::thread::Builder::new().stack_size(SHELL).spawn(open).expect("a thread").join().expect("its end");
    }
    std::thread::Builder::new().stack_size(bytes).spawn(work).expect("a thread").join().expect("its end");
}

/// The stack on which the shell opens a file.
const SHELL: usize = 64 << 10;
const STREAMED: WeightPlacement = WeightPlacement::Streamed { window: 512 };

#[test]
fn f23_the_core_runs_on_a_stack_of_32_kib() {
    let fits = |kib: usize| {
        let this = std::env::current_exe().expect("this test");
        let mut child = Command::new(this);
        child.args(["--exact", "on_a_small_stack", "--test-threads=1"]).env(STACK, (kib << 10).to_string());
        child.output().expect("it runs").status.success()
    };
    assert!(fits(256), "it works where there is room");
    let least = [16, 20, 24, 28, 32, 40, 48, 64, 96, 128].into_iter().find(|&kib| fits(kib));
    println!("F23: the least stack is {least:?} KiB (of 16, 20, 24, 28, 32, 40, ...)");
    assert!(least.is_some_and(|kib| kib <= 32), "F23: {least:?} KiB");
}

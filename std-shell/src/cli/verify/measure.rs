//! One matrix, every way of multiplying it.

use super::super::output::Failure;
use super::times::Times;
use barre::memory::Arena;
use barre::pool::Pool;
use barre_core::kernels::{ActKind, Acts, ActsMut, Compute, Executor as _, Kernels, Mode, dispatch_matmul};
use barre_core::model::Plan;
use barre_core::quant::{WeightFormat, dequantize_row};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

/// What the matrices are measured with.
pub(super) struct Bench<'a> {
    pub(super) kernels: &'a Kernels,
    pub(super) pool: &'a Pool,
    pub(super) repetitions: usize,
}

/// Runs of the baselines with a batch: each takes a second where the fused ones take milliseconds.
const FEW: usize = 5;

/// One line of the table.
struct Line<'a> {
    name: &'a str,
    parts: [(&'a str, Times); 2],
    whole: Times,
    /// Bytes of weights in memory while it runs.
    held: usize,
    /// Bytes of weights that one run moves from or to memory.
    moved: usize,
    /// Largest and mean difference from f64 accumulation.
    error: (f64, f64),
}

impl Bench<'_> {
    /// A table for each number of tokens, then the matrix's memory.
    pub(super) fn compare(
        &self,
        format: WeightFormat,
        weights: &[u8],
        k: usize,
        n: usize,
        token_counts: &[usize],
    ) -> Result<Vec<String>, Failure> {
        let row_bytes = weights.len() / n;
        let expand = |dense: &mut [f32]| {
            for (bytes, row) in weights.chunks_exact(row_bytes).zip(dense.chunks_exact_mut(k)) {
                dequantize_row(format, bytes, row).expect("the file's rows were checked when it was opened");
            }
        };
        let mut dense = zeros(k * n)?;
        let f32_bytes = 4 * k * n;
        let mut tables = Vec::new();
        for &tokens in token_counts {
            let few = if tokens == 1 { self.repetitions } else { self.repetitions.min(FEW) };
            let x = activations(k * tokens);
            let mut out = zeros(n * tokens)?;
            expand(&mut dense);
            let truth = product_f64(&dense, &x, k, tokens);

            let ([expanded, multiplied], whole) = Times::of_parts(few, || {
                let mut fresh = vec![0.0; k * n];
                expand(&mut fresh);
                let expanded = Instant::now();
                product_scalar(&fresh, &x, k, n, &mut out);
                black_box(&out);
                [expanded, Instant::now()]
            });
            let mut lines = vec![Line {
                name: "(a) expand, scalar",
                parts: [("expand", expanded), ("multiply", multiplied)],
                whole,
                held: weights.len() + f32_bytes,
                // The blocks are read, the f32 matrix is written and read.
                moved: weights.len() + 2 * f32_bytes,
                error: difference(&out, &truth),
            }];

            let mut room = Room::new(self, WeightFormat::F32, Mode::Int8, k, tokens)?;
            let ([expanded, multiplied], whole) = Times::of_parts(few, || {
                expand(&mut dense);
                let expanded = Instant::now();
                room.multiply(self, bytemuck::cast_slice(&dense), &x, n, &mut out);
                black_box(&out);
                [expanded, Instant::now()]
            });
            lines.push(Line {
                name: "(b) expand, f32 SIMD",
                parts: [("expand", expanded), ("multiply", multiplied)],
                whole,
                held: weights.len() + f32_bytes,
                moved: weights.len() + 2 * f32_bytes,
                error: difference(&out, &truth),
            });

            for (mode, name) in [(Mode::Int8, "fused int8"), (Mode::Exact, "fused exact")] {
                let mut room = Room::new(self, format, mode, k, tokens)?;
                let ([quantized, multiplied], whole) = Times::of_parts(self.repetitions, || {
                    let quantized = room.multiply(self, weights, &x, n, &mut out);
                    black_box(&out);
                    [quantized, Instant::now()]
                });
                lines.push(Line {
                    name,
                    parts: [("activations", quantized), ("multiply", multiplied)],
                    whole,
                    held: weights.len(),
                    moved: weights.len(),
                    error: difference(&out, &truth),
                });
            }
            tables.push(self.table(tokens, &lines));
        }
        tables.push(format!(
            "  memory: {f32_bytes} bytes as f32, {} in blocks: {:.2} times less\n",
            weights.len(),
            f32_bytes as f64 / weights.len() as f64,
        ));
        Ok(tables)
    }

    fn table(&self, tokens: usize, lines: &[Line<'_>]) -> String {
        let mut text = format!(
            "  {tokens} token{}, {}, {} thread{}; ms as median [range]\n",
            if tokens == 1 { "" } else { "s" },
            self.kernels.isa(),
            self.pool.threads(),
            if self.pool.threads() == 1 { "" } else { "s" },
        );
        let _ = writeln!(
            text,
            "    {:22}{:>30}{:>12}{:>12}{:>8}{:>9}{:>9}{:>11}{:>11}",
            "", "ms", "bytes held", "bytes moved", "GB/s", "vs (a)", "vs (b)", "max diff", "mean diff"
        );
        let (a, b) = (lines[0].whole.median(), lines[1].whole.median());
        for line in lines {
            let time = line.whole.median();
            let _ = writeln!(
                text,
                "    {:22}{:>30}{:>12}{:>12}{:>8.2}{:>8.2}x{:>8.2}x{:>11.2e}{:>11.2e}",
                line.name,
                line.whole.to_string(),
                line.held,
                line.moved,
                line.moved as f64 / time / 1e9,
                a / time,
                b / time,
                line.error.0,
                line.error.1,
            );
            for (name, times) in &line.parts {
                let _ = writeln!(text, "      {name:20}{:>30}", times.to_string());
            }
        }
        text
    }
}

/// Everything that a multiplication needs, made once: the fused path allocates nothing.
struct Room {
    format: WeightFormat,
    mode: Mode,
    k: usize,
    tokens: usize,
    acts: Arena,
    scratch: Arena,
}

impl Room {
    fn new(
        bench: &Bench<'_>,
        format: WeightFormat,
        mode: Mode,
        k: usize,
        tokens: usize,
    ) -> Result<Self, Failure> {
        let too_large = || Failure::because("the batch is too large for this machine's address space");
        let acts = ActsMut::bytes(ActKind::of(format), mode, k, tokens).ok_or_else(too_large)?;
        // A slot for each thread; one starts where the one before it ends.
        let slot = bench.kernels.matmul_scratch_bytes(format, k, tokens);
        let slots =
            slot.checked_next_multiple_of(Plan::ALIGN).and_then(|s| s.checked_mul(bench.pool.threads()));
        Ok(Self {
            format,
            mode,
            k,
            tokens,
            acts: Arena::new(acts)?,
            scratch: Arena::new(slots.ok_or_else(too_large)?)?,
        })
    }

    /// `out = weights · x`; the moment at which the activations were ready.
    fn multiply(
        &mut self,
        bench: &Bench<'_>,
        weights: &[u8],
        x: &[f32],
        n: usize,
        out: &mut [f32],
    ) -> Instant {
        let &mut Self { format, mode, k, tokens, .. } = self;
        let kind = ActKind::of(format);
        let acts = match ActsMut::new(kind, mode, k, tokens, self.acts.bytes_mut()) {
            None => Acts::float(x, k, tokens),
            Some(mut acts) => {
                acts.fill(bench.pool, &|t, out| bench.kernels.quantize(kind, mode, &x[t * k..][..k], out));
                acts.finish()
            }
        };
        let ready = Instant::now();
        let compute = Compute { kernels: bench.kernels, executor: bench.pool, trace: None };
        dispatch_matmul(compute, "", &acts, weights, format, tokens, k, n, 0, out, self.scratch.bytes_mut())
            .expect("buffers of the shape's own lengths");
        ready
    }
}

fn zeros(len: usize) -> Result<Vec<f32>, Failure> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(len)?;
    zeros.resize(len, 0.0);
    Ok(zeros)
}

/// Activations as a norm leaves them: around 1, of both signs, with nothing regular about them.
fn activations(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            // A sum of four uniform numbers is close enough to a Gaussian.
            let mut sum = 0.0;
            for _ in 0..4 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                sum += (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            }
            sum * 1.7
        })
        .collect()
}

fn product_scalar(dense: &[f32], x: &[f32], k: usize, n: usize, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
        for (w, out) in dense.chunks_exact(k).zip(out) {
            let mut sum = 0.0;
            for (&w, &x) in w.iter().zip(x) {
                sum += w * x;
            }
            *out = sum;
        }
    }
}

/// `[tokens][n]`, accumulated in f64: eight sums in turn, which the compiler makes vectors of.
fn product_f64(dense: &[f32], x: &[f32], k: usize, tokens: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(dense.len() / k * tokens);
    for x in x.chunks_exact(k) {
        for w in dense.chunks_exact(k) {
            let mut sums = [0.0; 8];
            for (w, x) in w.chunks(8).zip(x.chunks(8)) {
                for ((sum, &w), &x) in sums.iter_mut().zip(w).zip(x) {
                    *sum += f64::from(w) * f64::from(x);
                }
            }
            out.push(sums.iter().sum());
        }
    }
    out
}

/// Largest and mean absolute difference.
fn difference(out: &[f32], truth: &[f64]) -> (f64, f64) {
    let differences = out.iter().zip(truth).map(|(&a, &b)| (f64::from(a) - b).abs());
    let (max, sum) = differences.fold((0f64, 0.0), |(max, sum), d| (max.max(d), sum + d));
    (max, sum / truth.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_products_agree() {
        let (k, n, tokens) = (20, 3, 2);
        let (w, x) = (activations(k * n), activations(k * tokens));
        let mut out = vec![0.0; n * tokens];
        product_scalar(&w, &x, k, n, &mut out);
        let (max, mean) = difference(&out, &product_f64(&w, &x, k, tokens));
        assert!(max < 1e-5 && mean <= max, "{max} {mean}");
    }
}

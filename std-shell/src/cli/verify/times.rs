//! How long something takes, as median and range of many runs.

use std::fmt;
use std::time::Instant;

/// The times of several runs, in seconds, in order.
pub(super) struct Times(Vec<f64>);

impl Times {
    /// Runs `run` once, then `repetitions` times by the clock. `run` returns the moments at which its parts were
    /// done; the result has the time of each part, and of all of it last.
    pub(super) fn of_parts<const PARTS: usize>(
        repetitions: usize,
        mut run: impl FnMut() -> [Instant; PARTS],
    ) -> ([Self; PARTS], Self) {
        run();
        let mut parts = [const { Vec::new() }; PARTS];
        let mut whole = Vec::new();
        for _ in 0..repetitions {
            let start = Instant::now();
            let ends = run();
            whole.push(start.elapsed().as_secs_f64());
            let mut last = start;
            for (times, end) in parts.iter_mut().zip(ends) {
                times.push((end - last).as_secs_f64());
                last = end;
            }
        }
        (parts.map(Self::sorted), Self::sorted(whole))
    }

    fn sorted(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    pub(super) fn median(&self) -> f64 {
        let n = self.0.len();
        f64::midpoint(self.0[(n - 1) / 2], self.0[n / 2])
    }
}

impl fmt::Display for Times {
    /// Milliseconds: median, then range.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |t: f64| t * 1e3;
        let text =
            format!("{:.3} [{:.3} .. {:.3}]", ms(self.median()), ms(self.0[0]), ms(self.0[self.0.len() - 1]));
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_middle_two() {
        assert_eq!(Times::sorted(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Times::sorted(vec![4.0, 1.0, 3.0, 2.0]).median(), 2.5);
    }
}

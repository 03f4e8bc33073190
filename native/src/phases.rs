//! Time of the engine's phases, read off the spans it and our device report.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Span names and what they are called here. The two behind `constraints` are parts of it.
const PHASES: [(&str, &str); 6] = [
    ("prover.main_trace_commit", "commit"),
    ("prove_zerocheck_and_logup", "constraints"),
    ("fractional_sumcheck", "gkr"),
    ("prover.batch_constraints.mle_rounds", "rounds"),
    ("prove_stacked_opening_reduction", "stacking"),
    ("prove_whir_opening_cpu", "opening"),
];

/// Seconds on the clock, and of all the process's threads.
#[derive(Clone, Copy, Default, Debug)]
pub struct Time {
    pub wall: f64,
    pub cpu: f64,
}

impl AddAssign for Time {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// A moment.
#[derive(Clone, Copy)]
pub struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    pub fn now() -> Self {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the clock writes into a value of its own type; where it does not exist, zero remains.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        Self {
            wall: Instant::now(),
            cpu: time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9,
        }
    }

    pub fn elapsed(self) -> Time {
        let now = Self::now();
        Time {
            wall: (now.wall - self.wall).as_secs_f64(),
            cpu: now.cpu - self.cpu,
        }
    }
}

/// Times by phase.
pub type Timings = Vec<(&'static str, Time)>;

/// Runs `work` and reports the seconds spent in each phase that occurred.
///
/// The engine enters these spans on the thread that calls it, so a subscriber for this thread alone
/// is enough, and proofs running side by side do not see each other.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Timings) {
    let clock = Arc::new(Mutex::new(Phases::default()));
    let watch = Watch {
        clock: clock.clone(),
        next: AtomicU64::new(PHASES.len() as u64 + 1),
    };
    let result = tracing::subscriber::with_default(watch, work);
    let clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
    let found = PHASES
        .iter()
        .zip(clock.times)
        .filter(|(_, time)| time.wall > 0.0)
        .map(|((_, phase), time)| (*phase, time))
        .collect();
    (result, found)
}

#[derive(Default)]
struct Phases {
    entered: [Option<Clock>; PHASES.len()],
    times: [Time; PHASES.len()],
}

struct Watch {
    clock: Arc<Mutex<Phases>>,
    next: AtomicU64,
}

impl Watch {
    fn clock(&self) -> std::sync::MutexGuard<'_, Phases> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn phase(name: &str) -> Option<usize> {
    PHASES.iter().position(|(span, _)| *span == name)
}

/// A phase's span has the phase's index plus one for its identity; zero is not allowed.
fn slot(id: &Id) -> Option<usize> {
    let index = id.into_u64() as usize - 1;
    (index < PHASES.len()).then_some(index)
}

impl Subscriber for Watch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= Level::INFO && phase(metadata.name()).is_some()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = match phase(span.metadata().name()) {
            Some(index) => index as u64 + 1,
            None => self.next.fetch_add(1, Ordering::Relaxed),
        };
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        if let Some(index) = slot(id) {
            self.clock().entered[index] = Some(Clock::now());
        }
    }

    fn exit(&self, id: &Id) {
        if let Some(index) = slot(id) {
            let mut clock = self.clock();
            if let Some(entered) = clock.entered[index].take() {
                clock.times[index] += entered.elapsed();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_spans_are_counted() {
        let (value, found) = timed(|| {
            let _other = tracing::info_span!("something_else").entered();
            for _ in 0..2 {
                let _known = tracing::info_span!("prover.main_trace_commit").entered();
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            7
        });
        assert_eq!(value, 7);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "commit");
        assert!(found[0].1.wall >= 0.004);
    }
}

//! Wall-clock time of the engine's phases, read off the spans it reports.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Span names of the engine and what they are called here.
const PHASES: [(&str, &str); 4] = [
    ("prover.main_trace_commit", "commit"),
    ("prove_zerocheck_and_logup", "constraints"),
    ("prove_stacked_opening_reduction", "stacking"),
    ("prove_whir_opening_cpu", "opening"),
];

/// Seconds by phase.
pub type Timings = Vec<(&'static str, f64)>;

/// Runs `work` and reports the seconds spent in each phase that occurred.
///
/// The engine enters these spans on the thread that calls it, so a subscriber for this thread alone
/// is enough, and proofs running side by side do not see each other.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Timings) {
    let clock = Arc::new(Mutex::new(Clock::default()));
    let watch = Watch {
        clock: clock.clone(),
        next: AtomicU64::new(PHASES.len() as u64 + 1),
    };
    let result = tracing::subscriber::with_default(watch, work);
    let clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
    let found = PHASES
        .iter()
        .zip(clock.seconds)
        .filter(|(_, seconds)| *seconds > 0.0)
        .map(|((_, phase), seconds)| (*phase, seconds))
        .collect();
    (result, found)
}

#[derive(Default)]
struct Clock {
    entered: [Option<Instant>; PHASES.len()],
    seconds: [f64; PHASES.len()],
}

struct Watch {
    clock: Arc<Mutex<Clock>>,
    next: AtomicU64,
}

impl Watch {
    fn clock(&self) -> std::sync::MutexGuard<'_, Clock> {
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
            self.clock().entered[index] = Some(Instant::now());
        }
    }

    fn exit(&self, id: &Id) {
        if let Some(index) = slot(id) {
            let mut clock = self.clock();
            if let Some(entered) = clock.entered[index].take() {
                clock.seconds[index] += entered.elapsed().as_secs_f64();
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
        assert!(found[0].1 >= 0.004);
    }
}

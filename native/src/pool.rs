//! Thread pools of exact sizes, kept between calls.

use std::collections::HashMap;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::{Kind, Outcome, STACK_BYTES};

pub const MAX_THREADS: usize = 1024;

/// Threads do not survive a fork, so a pool belongs to the process that made it.
type Pools = HashMap<(u32, usize), Arc<ThreadPool>>;

static POOLS: Mutex<Option<Pools>> = Mutex::new(None);

pub fn pool(threads: usize) -> Outcome<Arc<ThreadPool>> {
    if !(1..=MAX_THREADS).contains(&threads) {
        return Kind::Parameter.fail(format_args!(
            "threads is {threads}, expected between 1 and {MAX_THREADS}"
        ));
    }
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_with(HashMap::new);
    let slot = (process::id(), threads);
    if let Some(pool) = pools.get(&slot) {
        return Ok(pool.clone());
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .thread_name(|index| format!("zkevm-prover-{index}"))
        .build()
        .map_err(|error| Kind::Parameter.failure(format_args!("{threads} threads: {error}")))?;
    let pool = Arc::new(pool);
    pools.insert(slot, pool.clone());
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_have_the_size_asked_for_and_are_kept() {
        let two = pool(2).expect("a pool");
        assert_eq!(two.install(rayon::current_num_threads), 2);
        assert!(Arc::ptr_eq(&two, &pool(2).expect("a pool")));
        assert_eq!(pool(0).expect_err("refused").kind, Kind::Parameter);
        assert_eq!(
            pool(MAX_THREADS + 1).expect_err("refused").kind,
            Kind::Parameter
        );
    }
}

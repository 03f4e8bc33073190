//! Kernels of the prover, each beside the engine's own: `make bench-native`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use zkevm_native::kernels::{Fractions, Traces};

/// Fractions of the messages of a segment.
const LOG_FRACTIONS: usize = 20;
/// Tables as a segment has them: a high one, some of middle height, low and wide ones.
const LOG_STACKED_HEIGHT: usize = 17;
const SHAPES: [(usize, usize); 4] = [(16, 20), (13, 120), (9, 400), (4, 2_000)];

fn gkr(criterion: &mut Criterion) {
    let fractions = Fractions::new(LOG_FRACTIONS);
    assert_eq!(fractions.leaves().prove(), fractions.prove_reference());
    let mut group = criterion.benchmark_group("gkr");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1 << LOG_FRACTIONS));
    group.bench_function("own", |bencher| {
        bencher.iter_batched(
            || fractions.leaves(),
            |leaves| black_box(leaves.prove()),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("engine", |bencher| {
        bencher.iter(|| black_box(fractions.prove_reference()));
    });
    group.finish();
}

fn commit(criterion: &mut Criterion) {
    let traces = Traces::new(LOG_STACKED_HEIGHT, &SHAPES);
    assert_eq!(traces.commit(), traces.commit_reference());
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10);
    let cells: usize = SHAPES
        .iter()
        .map(|(log_height, width)| width << log_height)
        .sum();
    group.throughput(Throughput::Elements(cells as u64));
    group.bench_function("own", |bencher| bencher.iter(|| black_box(traces.commit())));
    group.bench_function("engine", |bencher| {
        bencher.iter(|| black_box(traces.commit_reference()));
    });
    group.finish();
}

criterion_group!(kernels, gkr, commit);
criterion_main!(kernels);

//! Proving.

use numpy::{PyReadonlyArray2, PyUntypedArrayMethods};
use openvm_cpu_backend::CpuBackend;
use openvm_stark_backend::StarkEngine;
use openvm_stark_backend::codec::Encode;
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::prover::stacked_pcs::StackedLayout;
use openvm_stark_backend::prover::{
    AirProvingContext, Coordinator, DeviceMultiStarkProvingKey, Prover, ProvingContext,
};
use openvm_stark_sdk::config::baby_bear_poseidon2::F;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use rayon::prelude::*;

use crate::MODULUS;
use crate::arrays::borrow;
use crate::device::Device;
use crate::errors::{Kind, Outcome, guard};
use crate::keys::ProvingKey;
use crate::memory::trim_heap;
use crate::params::{Config, Count, Engine};
use crate::phases::{Clock, Time, Timings, timed};
use crate::pool::pool;

/// A trace as Python holds it: canonical integers, row after row.
struct Trace<'a> {
    width: usize,
    height: usize,
    cells: &'a [u32],
}

/// What runs the prover: our device, or the engine's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    Own,
    Stock,
}

impl Choice {
    fn parse(name: &str) -> Outcome<Self> {
        match name {
            "own" => Ok(Self::Own),
            "stock" => Ok(Self::Stock),
            _ => Kind::Parameter.fail(format_args!(
                "device is {name:?}, expected \"own\" or \"stock\""
            )),
        }
    }
}

pub struct Proved {
    pub bytes: Vec<u8>,
    pub stats: Stats,
}

#[derive(Default)]
pub struct Stats {
    /// Times by phase, in the order in which the phases end; the last one is `total`.
    pub seconds: Timings,
    pub cells: u64,
    pub interactions: u64,
    pub proof_bytes: usize,
}

/// Traces in engine form, which no longer need the memory of Python.
struct Loaded {
    contexts: Vec<(usize, AirProvingContext<CpuBackend<Config>>)>,
    stats: Stats,
    started: Clock,
}

fn load(
    key: &ProvingKey,
    traces: &[Option<Trace<'_>>],
    public_values: &[Vec<u32>],
) -> Outcome<Loaded> {
    let started = Clock::now();
    check_shape(key, traces, public_values)?;
    let mut stats = Stats::default();
    let mut contexts = Vec::with_capacity(traces.len());
    for (index, (trace, values)) in traces.iter().zip(public_values).enumerate() {
        let Some(trace) = trace else { continue };
        let name = &key.names[index];
        let values = values
            .iter()
            .map(|&value| F::from_u32(value))
            .collect::<Vec<_>>();
        let matrix = RowMajorMatrix::new(to_field(name, trace)?, trace.width);
        contexts.push((index, AirProvingContext::simple(matrix, values)));
        let messages = key.device.per_air[index].vk.num_interactions();
        stats.cells += (trace.width * trace.height) as u64;
        stats.interactions += (messages * trace.height) as u64;
    }
    stats.seconds.push(("load", started.elapsed()));
    Ok(Loaded {
        contexts,
        stats,
        started,
    })
}

fn finish(key: &ProvingKey, loaded: Loaded, device: Choice) -> Outcome<Proved> {
    let Loaded {
        contexts,
        mut stats,
        started,
    } = loaded;
    let (bytes, phases) = engine_prove(key, contexts, device)?;
    stats.proof_bytes = bytes.len();
    stats.seconds.extend(phases);
    stats.seconds.push(("total", started.elapsed()));
    Ok(Proved { bytes, stats })
}

/// Proves what is in engine form already; call it inside a thread pool.
pub fn engine_prove(
    key: &ProvingKey,
    contexts: Vec<(usize, AirProvingContext<CpuBackend<Config>>)>,
    device: Choice,
) -> Outcome<(Vec<u8>, Timings)> {
    let engine = &key.verifying.engine;
    run(engine, &key.device, ProvingContext::new(contexts), device)
}

/// The same with any key that the engine made.
pub fn run(
    engine: &Engine,
    key: &DeviceMultiStarkProvingKey<CpuBackend<Config>>,
    context: ProvingContext<CpuBackend<Config>>,
    device: Choice,
) -> Outcome<(Vec<u8>, Timings)> {
    let (proof, phases) = timed(|| match device {
        Choice::Stock => engine.prove(key, context),
        Choice::Own => {
            let device = Device(engine.device());
            let transcript = engine.initial_transcript();
            Coordinator::<Config, _, _, _>::new(CpuBackend::new(), device, transcript)
                .prove(key, context)
        }
    });
    let proof = proof.map_err(|error| Kind::Proving.failure(error))?;
    let bytes = proof
        .encode_to_vec()
        .map_err(|error| Kind::Proving.failure(error))?;
    Ok((bytes, phases))
}

/// Refuses what the verifier would refuse for its shape alone, before any work is done.
fn check_shape(
    key: &ProvingKey,
    traces: &[Option<Trace<'_>>],
    public_values: &[Vec<u32>],
) -> Outcome<()> {
    let tables = key.names.len();
    if traces.len() != tables || public_values.len() != tables {
        return Kind::Trace.fail(format_args!(
            "{} traces and {} lists of public values for {tables} tables",
            traces.len(),
            public_values.len()
        ));
    }
    let params = &key.device.params;
    let limit = 1usize << params.log_stacked_height();
    let mut shape = Vec::new();
    for (index, (trace, values)) in traces.iter().zip(public_values).enumerate() {
        let name = &key.names[index];
        let table = &key.device.per_air[index].vk.params;
        let expected = trace.as_ref().map_or(0, |_| table.num_public_values);
        if values.len() != expected {
            return Kind::Trace.fail(format_args!(
                "table {name:?}: {} public values, expected {expected}",
                values.len()
            ));
        }
        if let Some(at) = values.iter().position(|&value| value >= MODULUS) {
            return Kind::Trace.fail(format_args!(
                "table {name:?}: public value {at} is {}, not below the modulus",
                values[at]
            ));
        }
        let Some(trace) = trace else { continue };
        if trace.width != table.width.common_main {
            return Kind::Trace.fail(format_args!(
                "table {name:?}: the trace has {} columns, expected {}",
                trace.width, table.width.common_main
            ));
        }
        if !trace.height.is_power_of_two() || trace.height > limit {
            return Kind::Trace.fail(format_args!(
                "table {name:?}: the trace has {} rows, expected a power of two up to {limit}",
                trace.height
            ));
        }
        shape.push((index, trace.width, trace.height.ilog2() as usize));
    }
    if shape.is_empty() {
        return Kind::Trace.fail("no table is present");
    }
    shape.sort_by_key(|&(_, _, log_height)| std::cmp::Reverse(log_height));
    for bound in &key.device.trace_height_constraints {
        let sum: u64 = shape
            .iter()
            .map(|&(index, _, log_height)| {
                u64::from(bound.coefficients[index]) << log_height.max(params.l_skip)
            })
            .sum();
        if sum >= u64::from(bound.threshold) {
            return Kind::Trace.fail(format_args!(
                "the tables are too high for their interactions: {sum} messages, fewer than {} are sound",
                bound.threshold
            ));
        }
    }
    let columns = shape
        .iter()
        .map(|&(_, width, log_height)| (width, log_height));
    let layout = StackedLayout::new(
        params.l_skip,
        params.log_stacked_height(),
        columns.collect(),
    )
    .map_err(|error| Kind::Trace.failure(error))?;
    if layout.width() > params.w_stack {
        return Kind::Trace.fail(format_args!(
            "the tables fill {} stacked columns of 2^{} cells, at most {} are accepted",
            layout.width(),
            params.log_stacked_height(),
            params.w_stack
        ));
    }
    Ok(())
}

fn to_field(name: &str, trace: &Trace<'_>) -> Outcome<Vec<F>> {
    // A flag instead of an early exit keeps the common case a plain copying loop.
    const CHUNK: usize = 1 << 14;
    let mut cells = F::zero_vec(trace.cells.len());
    let valid = cells
        .par_chunks_mut(CHUNK)
        .zip(trace.cells.par_chunks(CHUNK))
        .map(|(targets, sources)| {
            let mut largest = 0;
            for (target, &source) in targets.iter_mut().zip(sources) {
                largest = largest.max(source);
                *target = F::from_u32(source);
            }
            largest < MODULUS
        })
        .reduce(|| true, |a, b| a & b);
    if valid {
        return Ok(cells);
    }
    let at = trace
        .cells
        .iter()
        .position(|&cell| cell >= MODULUS)
        .unwrap_or_default();
    Kind::Trace.fail(format_args!(
        "table {name:?}: row {}, column {} holds {}, not below the modulus",
        at / trace.width,
        at % trace.width,
        trace.cells[at]
    ))
}

fn borrow_trace<'py>(
    name: &str,
    item: &Bound<'py, PyAny>,
) -> Outcome<Option<PyReadonlyArray2<'py, u32>>> {
    if item.is_none() {
        return Ok(None);
    }
    borrow(Kind::Trace, &format!("table {name:?}: the trace"), item).map(Some)
}

/// `prove(key, traces, public_values, threads, consume=False, device="own")`.
#[pyfunction]
#[pyo3(signature = (key, traces, public_values, threads, consume = false, device = "own"))]
pub fn prove<'py>(
    py: Python<'py>,
    key: &ProvingKey,
    traces: &Bound<'py, PyList>,
    public_values: &Bound<'py, PyAny>,
    threads: Count,
    consume: bool,
    device: &str,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyDict>)> {
    let device = Choice::parse(device)?;
    if traces.len() != key.names.len() {
        return Err(Kind::Trace
            .failure(format_args!(
                "{} traces for {} tables",
                traces.len(),
                key.names.len()
            ))
            .into());
    }
    let public_values: Vec<Vec<u32>> = public_values.extract().map_err(|error| {
        Kind::Trace.failure(format_args!(
            "the public values are not lists of field elements: {error}"
        ))
    })?;
    let arrays = traces
        .iter()
        .zip(&key.names)
        .map(|(item, name)| borrow_trace(name, &item))
        .collect::<Outcome<Vec<_>>>()?;
    let views = arrays
        .iter()
        .map(|array| {
            array.as_ref().map(|array| Trace {
                height: array.shape()[0],
                width: array.shape()[1],
                cells: array.as_slice().expect("contiguity was checked"),
            })
        })
        .collect::<Vec<_>>();
    let loaded = py.detach(|| {
        guard(Kind::Proving, || {
            pool(threads.0)?.install(|| load(key, &views, &public_values))
        })
    })?;
    drop(views);
    drop(arrays);
    if consume {
        // The engine has its own copy now; keeping both through the proof would cost four bytes a cell.
        traces.set_slice(0, traces.len(), &PyList::empty(py))?;
        trim_heap();
    }
    let proved = py.detach(|| {
        guard(Kind::Proving, || {
            pool(threads.0)?.install(|| finish(key, loaded, device))
        })
    })?;
    let stats = PyDict::new(py);
    let seconds = &proved.stats.seconds;
    stats.set_item("seconds", seconds_dict(py, seconds, |time| time.wall)?)?;
    stats.set_item("cpu_seconds", seconds_dict(py, seconds, |time| time.cpu)?)?;
    stats.set_item("cells", proved.stats.cells)?;
    stats.set_item("interactions", proved.stats.interactions)?;
    stats.set_item("proof_bytes", proved.stats.proof_bytes)?;
    Ok((PyBytes::new(py, &proved.bytes), stats))
}

pub fn seconds_dict<'py>(
    py: Python<'py>,
    seconds: &[(&'static str, Time)],
    which: impl Fn(&Time) -> f64,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (phase, time) in seconds {
        dict.set_item(phase, which(time))?;
    }
    Ok(dict)
}

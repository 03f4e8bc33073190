//! The protocol parameters, and what they prove.

use openvm_stark_backend::keygen::types::{MultiStarkVerifyingKey, StarkVerifyingKey};
use openvm_stark_backend::prover::stacked_pcs::StackedLayout;
use openvm_stark_backend::soundness::{
    SoundnessCalculator, base_field_order, challenge_field_bits,
};
use openvm_stark_backend::{StarkEngine, SystemParams, calculate_n_logup};
use openvm_stark_sdk::config::baby_bear_poseidon2::{
    BabyBearPoseidon2Config, BabyBearPoseidon2CpuEngine, Digest, F,
};
use openvm_stark_sdk::config::{
    MAX_APP_LOG_STACKED_HEIGHT, WHIR_MAX_LOG_FINAL_POLY_LEN, app_params_with_100_bits_security,
    internal_params_with_100_bits_security,
};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList};
use serde_json::Value;

use crate::errors::{Kind, Outcome};

pub type Config = BabyBearPoseidon2Config;
pub type Engine = BabyBearPoseidon2CpuEngine;

/// The polynomial commitment needs one folding round, so the stacked height must exceed the length
/// at which folding stops.
pub const MIN_LOG_STACKED_HEIGHT: usize = WHIR_MAX_LOG_FINAL_POLY_LEN + 1;
pub const MAX_LOG_STACKED_HEIGHT: usize = MAX_APP_LOG_STACKED_HEIGHT;

pub fn system_params(log_stacked_height: usize) -> Outcome<SystemParams> {
    if (MIN_LOG_STACKED_HEIGHT..=MAX_LOG_STACKED_HEIGHT).contains(&log_stacked_height) {
        Ok(app_params_with_100_bits_security(log_stacked_height))
    } else {
        Kind::Parameter.fail(format_args!(
            "log_stacked_height is {log_stacked_height}, expected between {MIN_LOG_STACKED_HEIGHT} and {MAX_LOG_STACKED_HEIGHT}"
        ))
    }
}

/// Of the internal nodes of a tree of proofs, so of the last proof.
pub fn node_params() -> SystemParams {
    internal_params_with_100_bits_security()
}

/// Of the leaves of a tree. What they verify is a key with more than 2^20 expressions, and their table has to fit.
#[cfg(feature = "aggregation")]
pub fn leaf_params() -> SystemParams {
    openvm_stark_sdk::config::leaf_params_with_100_bits_security()
}

pub fn engine(log_stacked_height: usize) -> Outcome<Engine> {
    system_params(log_stacked_height).map(Engine::new)
}

/// Names of protocol steps and the bits each is proven to have; the last one, `total`, is the
/// smallest.
pub type Security = Vec<(&'static str, f64)>;

/// The engine's own analysis, either for any proof the key accepts or for given table heights.
pub fn security(
    key: &MultiStarkVerifyingKey<Config>,
    log_heights: Option<&[Option<usize>]>,
) -> Outcome<Security> {
    let params = &key.inner.params;
    let airs = &key.inner.per_air;
    let all_heights;
    let heights = match log_heights {
        Some(heights) => {
            check_heights(key, heights)?;
            heights
        }
        None => {
            all_heights = vec![Some(params.log_stacked_height()); airs.len()];
            &all_heights
        }
    };
    let mut present: Vec<_> = airs
        .iter()
        .zip(heights)
        .filter_map(|(air, height)| height.map(|height| (air, height)))
        .collect();
    present.sort_by_key(|&(_, height)| std::cmp::Reverse(height));

    let constraints = present
        .iter()
        .map(|(air, _)| air.symbolic_constraints.constraints.constraint_idx.len())
        .max()
        .unwrap_or(0);
    let columns = present
        .iter()
        .map(|(air, _)| air.params.width.main_widths().iter().sum::<usize>())
        .sum();
    let max_height = present.first().map_or(0, |&(_, height)| height);
    let (stacked, n_logup) = if log_heights.is_some() {
        let stacked = stacked_widths(params, &present)
            .map_err(|text| Kind::Parameter.failure(text))?
            .iter()
            .sum();
        let interactions = present
            .iter()
            .map(|&(air, height)| (air.num_interactions() as u64) << height.max(params.l_skip))
            .sum();
        (stacked, calculate_n_logup(params.l_skip, interactions))
    } else {
        // The verifier admits no more messages than this, whatever the heights.
        let messages = u64::from(params.logup.max_interaction_count);
        (params.w_stack, calculate_n_logup(params.l_skip, messages))
    };
    let found = SoundnessCalculator::calculate(
        params,
        base_field_order::<Config>(),
        challenge_field_bits::<Config>(),
        // The formulas want at least one constraint and two stacked columns; rounding up only
        // loses a fraction of a bit.
        constraints.max(1),
        present.len().max(1),
        params.max_constraint_degree,
        max_height,
        columns,
        stacked.max(2),
        n_logup,
    );
    let whir = &found.whir_details;
    let mut steps = vec![
        ("logup", found.logup_bits),
        ("gkr_sumcheck", found.gkr_sumcheck_bits),
        ("gkr_batching", found.gkr_batching_bits),
        ("zerocheck_sumcheck", found.zerocheck_sumcheck_bits),
        ("constraint_batching", found.constraint_batching_bits),
        ("stacked_reduction", found.stacked_reduction_bits),
        ("whir_mu_batching", whir.mu_batching_bits),
        ("whir_fold", whir.fold_rbr_bits),
        ("whir_out_of_domain", whir.ood_rbr_bits),
        ("whir_shift", whir.shift_rbr_bits),
        ("whir", found.whir_bits),
        ("total", found.total_bits),
    ];
    // A step the parameters do not have cannot fail; it is reported as infinitely strong.
    steps.retain(|(_, bits)| bits.is_finite());
    Ok(steps)
}

/// Columns that each commitment of a proof stacks: of all tables, then of each cached part, in the order of the tables.
///
/// `tables` are those that are present with their log heights, the highest first.
pub fn stacked_widths(
    params: &SystemParams,
    tables: &[(&StarkVerifyingKey<F, Digest>, usize)],
) -> Result<Vec<usize>, String> {
    let width = |shape: Vec<(usize, usize)>| {
        StackedLayout::new(params.l_skip, params.log_stacked_height(), shape)
            .map(|layout| layout.width())
            .map_err(|error| error.to_string())
    };
    let shared = tables
        .iter()
        .map(|&(air, height)| (air.params.width.common_main, height))
        .collect();
    let mut widths = vec![width(shared)?];
    for &(air, height) in tables {
        for &cached in &air.params.width.cached_mains {
            widths.push(width(vec![(cached, height)])?);
        }
    }
    Ok(widths)
}

fn check_heights(key: &MultiStarkVerifyingKey<Config>, heights: &[Option<usize>]) -> Outcome<()> {
    let tables = key.inner.per_air.len();
    if heights.len() != tables {
        return Kind::Parameter.fail(format_args!(
            "{} log_heights for {tables} tables",
            heights.len()
        ));
    }
    if heights.iter().all(Option::is_none) {
        return Kind::Parameter.fail("no table is present");
    }
    let limit = key.inner.params.log_stacked_height();
    if let Some(height) = heights.iter().flatten().find(|&&height| height > limit) {
        return Kind::Parameter.fail(format_args!(
            "log height {height} exceeds log_stacked_height {limit}"
        ));
    }
    Ok(())
}

pub fn security_dict<'py>(py: Python<'py>, steps: &Security) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (step, bits) in steps {
        dict.set_item(step, bits)?;
    }
    Ok(dict)
}

pub fn params_dict<'py>(py: Python<'py>, params: &SystemParams) -> PyResult<Bound<'py, PyAny>> {
    let value = serde_json::to_value(params).expect("parameters are plain numbers");
    let dict = to_python(py, &value)?;
    dict.set_item("log_stacked_height", params.log_stacked_height())?;
    Ok(dict)
}

fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(flag) => flag.into_bound_py_any(py),
        Value::Number(number) => match number.as_u64() {
            Some(integer) => integer.into_bound_py_any(py),
            None => number.as_f64().into_bound_py_any(py),
        },
        Value::String(text) => text.into_bound_py_any(py),
        Value::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .map(|item| to_python(py, item))
                .collect::<PyResult<_>>()?;
            PyList::new(py, items)?.into_bound_py_any(py)
        }
        Value::Object(entries) => {
            let dict = PyDict::new(py);
            for (name, entry) in entries {
                dict.set_item(name, to_python(py, entry)?)?;
            }
            dict.into_bound_py_any(py)
        }
    }
}

/// A count given by Python. Integers that do not fit a machine word are out of range like any other
/// unsuitable count, instead of raising a different exception.
#[derive(Clone, Copy)]
pub struct Count(pub usize);

impl FromPyObject<'_> for Count {
    fn extract_bound(item: &Bound<'_, PyAny>) -> PyResult<Self> {
        match item.extract() {
            Ok(count) => Ok(Self(count)),
            Err(_) if item.is_instance_of::<PyInt>() => Err(Kind::Parameter
                .failure(format_args!("{item} is out of range"))
                .into()),
            Err(error) => Err(error),
        }
    }
}

/// `parameters(log_stacked_height)`.
#[pyfunction]
pub fn parameters(py: Python<'_>, log_stacked_height: Count) -> PyResult<Bound<'_, PyAny>> {
    let params = system_params(log_stacked_height.0)?;
    params_dict(py, &params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_outside_the_range_are_refused() {
        assert!(system_params(MIN_LOG_STACKED_HEIGHT - 1).is_err());
        assert!(system_params(MAX_LOG_STACKED_HEIGHT + 1).is_err());
        for height in MIN_LOG_STACKED_HEIGHT..=MAX_LOG_STACKED_HEIGHT {
            let params = system_params(height).expect("in range");
            assert_eq!(params.log_stacked_height(), height);
            assert!(params.num_whir_rounds() >= 1);
        }
    }
}

//! The layout of a proof, predicted from the key.
//!
//! A proof's length and every length prefix inside it follow from the key, from which tables are
//! present and from their heights. Checking them against the bytes before anything is decoded means
//! that an untrusted prefix never decides how much is allocated or how long decoding takes: the
//! engine's own decoder happily builds millions of empty vectors out of a few bytes.

use std::cmp::Reverse;

use openvm_stark_backend::calculate_n_logup;
use openvm_stark_backend::keygen::types::MultiStarkVerifyingKey;

use crate::params::{Config, stacked_widths};

const FIELD: usize = 4;
const EXTENSION: usize = 4 * FIELD;
const DIGEST: usize = 8 * FIELD;
const CODEC_VERSION: usize = 3;

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn skip(&mut self, bytes: usize) -> Result<(), String> {
        match self.at.checked_add(bytes) {
            Some(at) if at <= self.bytes.len() => {
                self.at = at;
                Ok(())
            }
            _ => Err(format!("truncated after {} bytes", self.bytes.len())),
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        let at = self.at;
        self.skip(1)?;
        Ok(self.bytes[at])
    }

    fn length(&mut self) -> Result<usize, String> {
        let at = self.at;
        self.skip(4)?;
        let four = self.bytes[at..at + 4].try_into().expect("four bytes");
        Ok(u32::from_le_bytes(four) as usize)
    }

    fn expect(&mut self, expected: usize, what: &str) -> Result<(), String> {
        let at = self.at;
        let found = self.length()?;
        if found == expected {
            Ok(())
        } else {
            Err(format!(
                "{what} at byte {at} is {found}, expected {expected}"
            ))
        }
    }

    /// A length prefix and that many elements.
    fn list(&mut self, expected: usize, element: usize, what: &str) -> Result<(), String> {
        self.expect(expected, what)?;
        self.skip(expected * element)
    }
}

pub fn check(key: &MultiStarkVerifyingKey<Config>, bytes: &[u8]) -> Result<(), String> {
    let params = &key.inner.params;
    let airs = &key.inner.per_air;
    let mut scan = Scanner { bytes, at: 0 };

    scan.expect(CODEC_VERSION, "format version")?;
    scan.skip(DIGEST)?;
    scan.expect(airs.len(), "number of tables")?;
    let mut present = Vec::with_capacity(airs.len());
    for first in (0..airs.len()).step_by(8) {
        let bits = scan.byte()?;
        let count = (airs.len() - first).min(8);
        if count < 8 && bits >> count != 0 {
            return Err("bits beyond the last table are set".to_owned());
        }
        present.extend((0..count).map(|bit| bits >> bit & 1 == 1));
    }
    let mut traces = Vec::with_capacity(airs.len());
    for (air, _) in airs.iter().zip(&present).filter(|(_, present)| **present) {
        let log_height = scan.length()?;
        if log_height > params.log_stacked_height() {
            return Err(format!("a table has log height {log_height}"));
        }
        let cached = air.params.width.cached_mains.len();
        scan.list(cached, DIGEST, "number of cached commitments")?;
        traces.push((air, log_height));
    }
    if traces.is_empty() {
        return Err("no table is present".to_owned());
    }
    scan.expect(airs.len(), "number of public value lists")?;
    for (air, &present) in airs.iter().zip(&present) {
        let expected = if present {
            air.params.num_public_values
        } else {
            0
        };
        scan.list(expected, FIELD, "number of public values")?;
    }
    // Stable, so that tables of one height stay in key order, as the prover has them.
    traces.sort_by_key(|&(_, log_height)| Reverse(log_height));

    let l_skip = params.l_skip;
    let messages: u64 = traces
        .iter()
        .map(|&(air, log_height)| (air.num_interactions() as u64) << log_height.max(l_skip))
        .sum();
    let layers = if messages == 0 {
        0
    } else {
        l_skip + calculate_n_logup(l_skip, messages)
    };
    scan.skip(FIELD + EXTENSION)?;
    scan.list(layers, 4 * EXTENSION, "number of GKR layers")?;
    scan.skip(layers * layers.saturating_sub(1) / 2 * 3 * EXTENSION)?;

    let degree = params.max_constraint_degree + 1;
    let skipped = (1 << l_skip) - 1;
    scan.list(traces.len(), 2 * EXTENSION, "number of LogUp sums")?;
    scan.list(
        degree * skipped + 1,
        EXTENSION,
        "constraint polynomial length",
    )?;
    let rounds = traces[0].1.saturating_sub(l_skip);
    scan.expect(rounds, "number of constraint rounds")?;
    if rounds > 0 {
        scan.expect(degree, "constraint round length")?;
        scan.skip(rounds * degree * EXTENSION)?;
    }
    for (air, _) in &traces {
        let rows = if air.params.need_rot { 2 } else { 1 };
        let width = &air.params.width;
        scan.expect(1 + width.cached_mains.len(), "number of trace parts")?;
        for part in [&width.common_main].into_iter().chain(&width.cached_mains) {
            scan.list(part * rows, EXTENSION, "number of column openings")?;
        }
    }

    let stacked = stacked_widths(params, &traces)?;
    if stacked.iter().sum::<usize>() > params.w_stack {
        return Err("the tables are too large together".to_owned());
    }
    scan.list(2 * skipped + 1, EXTENSION, "stacking polynomial length")?;
    scan.list(params.n_stack, 2 * EXTENSION, "number of stacking rounds")?;
    scan.expect(stacked.len(), "number of commitments")?;
    for &width in &stacked {
        scan.list(width, EXTENSION, "number of stacked openings")?;
    }

    let whir = &params.whir;
    let later = params.num_whir_rounds() - 1;
    let folds = params.num_whir_sumcheck_rounds();
    let folded = 1 << params.k_whir();
    scan.skip(FIELD)?;
    scan.list(folds, 2 * EXTENSION, "number of folding rounds")?;
    scan.list(later, DIGEST, "number of folded commitments")?;
    scan.skip(later * EXTENSION)?;
    scan.skip((folds + later + 1) * FIELD)?;
    scan.expect(stacked.len(), "number of opened commitments")?;
    let queries = whir.rounds[0].num_queries;
    scan.expect(queries, "number of queries")?;
    let depth = params.log_stacked_height() + params.log_blowup - params.k_whir();
    scan.expect(depth, "Merkle depth")?;
    for &width in &stacked {
        scan.expect(width, "opened row width")?;
    }
    scan.skip(queries * folded * stacked.iter().sum::<usize>() * FIELD)?;
    scan.skip(queries * depth * DIGEST * stacked.len())?;
    for round in &whir.rounds[1..] {
        scan.list(
            round.num_queries,
            folded * EXTENSION,
            "number of folded queries",
        )?;
    }
    scan.expect(if later > 0 { depth - 1 } else { 0 }, "folded Merkle depth")?;
    for (index, round) in whir.rounds[1..].iter().enumerate() {
        scan.skip(round.num_queries * (depth - 1 - index) * DIGEST)?;
    }
    scan.list(
        1 << params.log_final_poly_len(),
        EXTENSION,
        "final polynomial length",
    )?;
    if scan.at == bytes.len() {
        Ok(())
    } else {
        Err(format!("{} trailing bytes", bytes.len() - scan.at))
    }
}

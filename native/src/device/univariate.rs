//! Round 0 of the batch sumcheck: the rows that are skipped, as one variable of higher degree.
//!
//! `2^l_skip` consecutive rows are the values of a polynomial on a subgroup D. Constraints are evaluated on as many
//! cosets of D as their quotient needs, messages on D itself and those same cosets, so that both come from one run of
//! the table's program. The lanes of a pack are points of a coset; where a coset has fewer of them, they are the same
//! point for so many groups of rows. Columns are extended by a product with a small matrix, whose terms are added up
//! before they are reduced, and only columns that the program reads are.

use openvm_stark_backend::p3_field::{
    ExtensionField, Field, PackedValue, PrimeCharacteristicRing, TwoAdicField,
    batch_multiplicative_inverse,
};
use openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_backend::poly_common::UnivariatePoly;
use openvm_stark_sdk::config::baby_bear_poseidon2::{EF, F};
use rayon::prelude::*;

use super::packing::{Base, Pack, WIDTH, dot, eq_natural, lane, pack};
use super::program::{Combination, Combinations, Program, SELECTORS};
use super::table::Table;

/// Groups of rows that a thread takes at least.
const BATCH: usize = 16;

/// The subgroup D and its cosets.
pub struct Domain {
    pub size: usize,
    /// Points of a coset that the lanes of a pack are, and groups of rows that they are points for: one of them is 1.
    points: usize,
    groups: usize,
    /// For each coset behind D: for each pack of its points, the weights of the values on D.
    cosets: Vec<Vec<Base>>,
    /// The inverse of the polynomial that vanishes on D, at each of these cosets.
    inverses: Vec<F>,
}

impl Domain {
    pub fn new(l_skip: usize, degree: usize) -> Self {
        let size = 1 << l_skip;
        let points = if size < WIDTH { 1 } else { WIDTH };
        let omegas: Vec<F> = F::two_adic_generator(l_skip).powers().take(size).collect();
        let shifts: Vec<F> = F::GENERATOR
            .powers()
            .skip(1)
            .take(degree.saturating_sub(1))
            .collect();
        let scale = F::from_usize(size).inverse();
        let cosets = shifts
            .iter()
            .map(|&shift| {
                // The value at shift omega^k of the polynomial that is 1 at 1, and 0 on the rest of D.
                let basis: Vec<F> = omegas
                    .iter()
                    .map(|&omega| (omega * shift).powers().take(size).sum::<F>() * scale)
                    .collect();
                (0..size / points)
                    .flat_map(|pack| (0..size).map(move |from| (pack, from)))
                    .map(|(pack, from)| {
                        Base::from_fn(|lane| {
                            basis[(pack * points + lane % points + size - from) % size]
                        })
                    })
                    .collect()
            })
            .collect();
        let inverses = shifts
            .iter()
            .map(|shift| (shift.exp_power_of_2(l_skip) - F::ONE).inverse())
            .collect();
        Self {
            size,
            points,
            groups: WIDTH / points,
            cosets,
            inverses,
        }
    }

    /// Packs that the points of a coset are.
    fn packs(&self) -> usize {
        self.size / self.points
    }

    /// A pack of points of a coset, from the values on D: those of each point for all groups.
    fn extend(&self, coset: usize, pack: usize, values: &[F]) -> Base {
        let weights = &self.cosets[coset][pack * self.size..][..self.size];
        if self.groups == 1 {
            dot(weights, |at| values[at].into())
        } else {
            dot(weights, |at| {
                *Base::from_slice(&values[at * WIDTH..][..WIDTH])
            })
        }
    }

    /// The sum over all groups, at a point of a coset; `sums` are those of each coset's packs.
    fn sum(&self, sums: &[Sums], which: usize, coset: usize, point: usize) -> EF {
        let pack = &sums[coset * self.packs() + point / self.points][which];
        (point % self.points..WIDTH)
            .step_by(self.points)
            .map(|at| lane(pack, at))
            .sum()
    }
}

/// The weights of the values on D that are a polynomial's value at a point outside of it.
pub fn basis<K: ExtensionField<F>>(l_skip: usize, at: K) -> Vec<K> {
    let size = 1 << l_skip;
    let omegas: Vec<F> = F::two_adic_generator(l_skip).powers().take(size).collect();
    // omega^i (x^size - 1) / (size (x - omega^i)).
    let distances: Vec<K> = omegas.iter().map(|&omega| at - omega).collect();
    let scale = (at.exp_power_of_2(l_skip) - F::ONE) * F::from_usize(size).inverse();
    batch_multiplicative_inverse(&distances)
        .into_iter()
        .zip(omegas)
        .map(|(inverse, omega)| inverse * omega * scale)
        .collect()
}

/// The polynomials of one table, without their eq factors.
pub struct Polynomials {
    pub constraints: UnivariatePoly<EF>,
    pub numerator: UnivariatePoly<EF>,
    pub denominator: UnivariatePoly<EF>,
}

/// Sums of constraints, numerators and denominators.
type Sums = [Pack; 3];

/// A combination with packed weights.
struct Weights {
    constant: Pack,
    terms: Vec<(usize, Pack)>,
}

impl Weights {
    fn new(combination: &Combination) -> Self {
        let terms = combination.terms.iter();
        Self {
            constant: combination.constant.into(),
            terms: terms
                .map(|&(register, weight)| (register, weight.into()))
                .collect(),
        }
    }

    fn sum(&self, registers: &[Base]) -> Pack {
        self.terms
            .iter()
            .fold(self.constant, |sum, &(register, weight)| {
                sum + weight * registers[register]
            })
    }
}

/// What a thread works with.
struct State {
    registers: Vec<Base>,
    /// The columns' and selectors' values on D: at each point of it those of all groups that are in a pack.
    values: Vec<F>,
    /// For each coset, D first, and each pack of its points.
    sums: Vec<Sums>,
}

/// The work on one table.
struct Evaluation<'a> {
    table: &'a Table<'a>,
    program: &'a Program,
    domain: &'a Domain,
    weights: [Weights; 3],
    /// For the quotient of the constraints, and for the messages.
    cosets: [usize; 2],
}

/// `point` is where the rows behind the skipped ones are weighted.
pub fn polynomials(
    table: &Table<'_>,
    program: &Program,
    combinations: &Combinations,
    domain: &Domain,
    point: &[EF],
) -> Polynomials {
    let degree = table.degree();
    let quotient = if table.constraints() == 0 {
        0
    } else {
        degree.saturating_sub(1)
    };
    let messages = if table.messages() == 0 { 0 } else { degree };
    let Combinations {
        constraints,
        numerator,
        denominator,
    } = combinations;
    let evaluation = Evaluation {
        table,
        program,
        domain,
        weights: [constraints, numerator, denominator].map(Weights::new),
        cosets: [quotient, messages],
    };
    let sums = evaluation.run(&eq_natural(point));

    let interpolate = |which: usize, first: usize, count: usize, scale: &dyn Fn(usize) -> F| {
        // One row for each point of D, with the values on the cosets.
        let values = (0..domain.size)
            .flat_map(|point| (first..first + count).map(move |coset| (point, coset)))
            .map(|(point, coset)| domain.sum(&sums, which, coset, point) * scale(coset))
            .collect();
        let start = F::GENERATOR.exp_u64(first as u64);
        let values = RowMajorMatrix::new(values, count);
        UnivariatePoly::from_geometric_cosets_evals_idft(values, F::GENERATOR, start)
    };
    let share = F::from_usize(table.repeated()).inverse();
    let polynomial = |which: usize, scale: F| match messages {
        0 => UnivariatePoly::new(Vec::new()),
        count => interpolate(which, 0, count, &|_| scale),
    };
    let mut constraints = vec![EF::ZERO; degree * (domain.size - 1) + 1];
    if quotient > 0 {
        let inverse = |coset: usize| domain.inverses[coset - 1];
        let quotient = interpolate(0, 1, quotient, &inverse);
        // Times X^size - 1.
        for (at, &coefficient) in quotient.coeffs().iter().enumerate() {
            if let Some(target) = constraints.get_mut(at) {
                *target -= coefficient;
            }
            if let Some(target) = constraints.get_mut(at + domain.size) {
                *target += coefficient;
            }
        }
    }
    if degree == 0 {
        constraints.clear();
    }
    Polynomials {
        constraints: UnivariatePoly::new(constraints),
        numerator: polynomial(1, share),
        denominator: polynomial(2, F::ONE),
    }
}

impl Evaluation<'_> {
    fn state(&self) -> State {
        let Self {
            program, domain, ..
        } = self;
        let cosets = self.cosets[1].max(if self.cosets[0] > 0 {
            self.cosets[0] + 1
        } else {
            0
        });
        State {
            registers: program.registers(Base::ZERO, Base::from),
            values: F::zero_vec((program.columns.len() + SELECTORS) * domain.size * domain.groups),
            sums: vec![[Pack::ZERO; 3]; cosets * domain.packs()],
        }
    }

    fn run(&self, eq: &[EF]) -> Vec<Sums> {
        let add = |mut all: Vec<Sums>, more: Vec<Sums>| {
            for (all, more) in all.iter_mut().flatten().zip(more.into_iter().flatten()) {
                *all += more;
            }
            all
        };
        let groups = self.domain.groups;
        eq.par_chunks(groups)
            .enumerate()
            .with_min_len(BATCH.div_ceil(groups))
            .fold(
                || self.state(),
                |mut state, (chunk, weights)| {
                    // Lanes behind the last group have no weight.
                    let weights = pack(|lane| {
                        let group = lane / self.domain.points;
                        weights.get(group).copied().unwrap_or(EF::ZERO)
                    });
                    self.add_groups(&mut state, chunk * groups, weights);
                    state
                },
            )
            .map(|state| state.sums)
            .reduce(|| self.state().sums, add)
    }

    fn add_groups(&self, state: &mut State, first: usize, weight: Pack) {
        let Self {
            table,
            program,
            domain,
            ..
        } = self;
        let (size, groups, packs) = (domain.size, domain.groups, domain.packs());
        table.load_groups(program, first, groups, size, &mut state.values);
        for (at, sums) in state.sums.iter_mut().enumerate() {
            let (coset, pack) = (at / packs, at % packs);
            for (register, values) in state
                .registers
                .iter_mut()
                .zip(state.values.chunks_exact(size * groups))
            {
                *register = match coset {
                    0 => *Base::from_slice(&values[pack * WIDTH..][..WIDTH]),
                    _ => domain.extend(coset - 1, pack, values),
                };
            }
            let [quotient, messages] = self.cosets;
            let (wants_quotient, wants_messages) =
                ((1..=quotient).contains(&coset), coset < messages);
            if !wants_quotient && !wants_messages {
                continue;
            }
            program.run(&mut state.registers);
            let [constraints, numerator, denominator] = &self.weights;
            if wants_quotient {
                sums[0] += weight * constraints.sum(&state.registers);
            }
            if wants_messages {
                sums[1] += weight * numerator.sum(&state.registers);
                sums[2] += weight * denominator.sum(&state.registers);
            }
        }
    }
}

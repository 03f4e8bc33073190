//! Packed field elements, and the order in which they are packed.
//!
//! A sumcheck folds the lowest bit of the index first. An array in *bit-reversed order* keeps that bit on top: what is
//! folded together lies half an array apart, so that every step is arithmetic of whole packs, and the lanes of a pack
//! differ in the bits that are folded last.

use openvm_stark_backend::p3_field::extension::PackedBinomialExtensionField;
use openvm_stark_backend::p3_field::{
    BasedVectorSpace, Field, PackedFieldExtension, PackedValue, PrimeCharacteristicRing,
};
use openvm_stark_sdk::config::baby_bear_poseidon2::{D_EF, EF, F};

/// As many base field elements as the machine computes with at once.
pub type Base = <F as Field>::Packing;
/// As many elements of the extension field.
pub type Pack = PackedBinomialExtensionField<F, Base, D_EF>;

/// Lanes of a pack: 1 where the machine has no vectors that are known at compile time.
pub const WIDTH: usize = <Base as PackedValue>::WIDTH;
pub const LOG_WIDTH: usize = WIDTH.ilog2() as usize;

/// The lowest `bits` bits of `index`, the last one first.
pub fn reverse(index: usize, bits: usize) -> usize {
    if bits == 0 {
        0
    } else {
        index.reverse_bits() >> (usize::BITS as usize - bits)
    }
}

pub fn coefficient(pack: &Pack, at: usize) -> &Base {
    &pack.as_basis_coefficients_slice()[at]
}

/// One lane of a pack.
pub fn lane(pack: &Pack, at: usize) -> EF {
    EF::from_basis_coefficients_fn(|d| coefficient(pack, d).as_slice()[at])
}

/// A pack of the given lanes.
pub fn pack(lanes: impl Fn(usize) -> EF) -> Pack {
    let lanes: [EF; WIDTH] = std::array::from_fn(lanes);
    Pack::from_ext_slice(&lanes)
}

pub fn unpack(packs: &[Pack]) -> Vec<EF> {
    packs
        .iter()
        .flat_map(|pack| (0..WIDTH).map(|at| lane(pack, at)))
        .collect()
}

/// The sum of products of weights and values. Terms are added up before they are reduced, as many as there are.
#[inline(always)]
pub fn dot(weights: &[Base], value: impl Fn(usize) -> Base) -> Base {
    #[inline(always)]
    fn steps<const STEP: usize>(
        sum: &mut Base,
        weights: &[[Base; STEP]],
        value: impl Fn(usize) -> Base,
    ) {
        for (step, weights) in weights.iter().enumerate() {
            let values = std::array::from_fn(|at| value(step * STEP + at));
            *sum += Base::dot_product(weights, &values);
        }
    }
    let mut sum = Base::ZERO;
    let (eights, rest) = weights.as_chunks::<8>();
    steps(&mut sum, eights, &value);
    let (fours, rest) = rest.as_chunks::<4>();
    let done = 8 * eights.len();
    steps(&mut sum, fours, |at| value(done + at));
    let done = done + 4 * fours.len();
    for (at, &weight) in rest.iter().enumerate() {
        sum += weight * value(done + at);
    }
    sum
}

pub fn sum_lanes(pack: &Pack) -> EF {
    (0..WIDTH).map(|at| lane(pack, at)).sum()
}

/// The polynomial eq at `point` and every corner of the cube, in bit-reversed order.
pub fn eq_reversed(point: &[EF]) -> Vec<EF> {
    let mut eq = Vec::with_capacity(1 << point.len());
    eq.push(EF::ONE);
    for &x in point.iter().rev() {
        for at in 0..eq.len() {
            let ones = eq[at] * x;
            eq.push(ones);
            eq[at] -= ones;
        }
    }
    eq
}

/// The same, packed; there is a pack at least.
pub fn eq_reversed_packed(point: &[EF]) -> Vec<Pack> {
    let (lower, upper) = point.split_at(point.len() - LOG_WIDTH);
    let mut eq = Vec::with_capacity(1 << lower.len());
    eq.push(Pack::from_ext_slice(&eq_reversed(upper)));
    for &x in lower.iter().rev() {
        let x = Pack::from(x);
        for at in 0..eq.len() {
            let ones = eq[at] * x;
            eq.push(ones);
            eq[at] -= ones;
        }
    }
    eq
}

/// eq without its first coordinate, whose two values sum to one.
pub fn drop_first<T: PrimeCharacteristicRing + Copy>(eq: &mut Vec<T>) {
    let half = eq.len() / 2;
    for at in 0..half {
        let upper = eq[at + half];
        eq[at] += upper;
    }
    eq.truncate(half);
}

/// eq at `point` and every corner of the cube, in natural order.
pub fn eq_natural(point: &[EF]) -> Vec<EF> {
    let mut eq = Vec::with_capacity(1 << point.len());
    eq.push(EF::ONE);
    for &x in point {
        for at in 0..eq.len() {
            let ones = eq[at] * x;
            eq.push(ones);
            eq[at] -= ones;
        }
    }
    eq
}

#[cfg(test)]
mod tests {
    use openvm_stark_backend::prover::poly::evals_eq_hypercube;

    use super::*;

    #[test]
    fn a_sum_of_products_has_any_number_of_terms() {
        let term = |at: usize| Base::from_fn(|lane| F::from_usize(1 + 7 * at + 1000 * lane));
        for terms in 0..20 {
            let weights: Vec<Base> = (0..terms).map(|at| term(at).square()).collect();
            let expected: Base = (0..terms).map(|at| weights[at] * term(at)).sum();
            assert_eq!(dot(&weights, term), expected);
        }
    }

    #[test]
    fn the_orders_of_eq_are_those_of_the_engine() {
        let point: Vec<EF> = (0..7).map(|at| EF::from_u32(17 + 1000 * at)).collect();
        for bits in 0..=point.len() {
            let expected = evals_eq_hypercube(&point[..bits]);
            assert_eq!(eq_natural(&point[..bits]), expected);
            let mut reversed = eq_reversed(&point[..bits]);
            for (at, value) in reversed.iter().enumerate() {
                assert_eq!(*value, expected[reverse(at, bits)]);
            }
            if bits >= LOG_WIDTH {
                assert_eq!(unpack(&eq_reversed_packed(&point[..bits])), reversed);
            }
            if bits > 0 {
                drop_first(&mut reversed);
                assert_eq!(reversed, eq_reversed(&point[1..bits]));
            }
        }
    }
}

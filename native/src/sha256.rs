//! The compression of SHA-256, block after block.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use sha2::compress256;
use sha2::digest::generic_array::GenericArray;

use crate::arrays::{borrow_rows, cells};
use crate::errors::{Kind, guard};

const BLOCK_WORDS: usize = 16;
const STATE_WORDS: usize = 8;

/// FIPS 180-4, section 5.3.3.
const INITIAL_STATE: [u32; STATE_WORDS] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The state behind each block; inputs begin at the blocks with these numbers, ascending.
fn states(blocks: &[u32], begins: &[usize]) -> Vec<u32> {
    let mut found = Vec::with_capacity(blocks.len() / BLOCK_WORDS * STATE_WORDS);
    let (mut state, mut begins) = (INITIAL_STATE, begins.iter().peekable());
    for (number, block) in blocks.chunks_exact(BLOCK_WORDS).enumerate() {
        if begins.next_if_eq(&&number).is_some() {
            state = INITIAL_STATE;
        }
        let mut bytes = GenericArray::default();
        for (to, word) in bytes.chunks_exact_mut(4).zip(block) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        compress256(&mut state, &[bytes]);
        found.extend_from_slice(&state);
    }
    found
}

/// `sha256_states(blocks, begins)`.
#[pyfunction]
pub fn sha256_states<'py>(
    py: Python<'py>,
    blocks: &Bound<'py, PyAny>,
    begins: Vec<usize>,
) -> PyResult<Bound<'py, PyArray2<u32>>> {
    let view = borrow_rows("the blocks", blocks, BLOCK_WORDS)?;
    let count = view.shape()[0];
    let given = cells(&view);
    let found = py.detach(|| guard(Kind::Parameter, || Ok(states(given, &begins))))?;
    PyArray1::from_vec(py, found).reshape([count, STATE_WORDS])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B: "abc" twice, and an input of two blocks between them.
    #[test]
    fn examples_of_the_standard() {
        let padded = |text: &[u8]| -> Vec<u32> {
            let mut bytes = text.to_vec();
            bytes.push(0x80);
            while bytes.len() % 64 != 56 {
                bytes.push(0);
            }
            bytes.extend((8 * text.len() as u64).to_be_bytes());
            let words = bytes.chunks_exact(4);
            words
                .map(|w| u32::from_be_bytes(w.try_into().expect("four bytes")))
                .collect()
        };
        let (short, long) = (
            padded(b"abc"),
            padded(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
        );
        let found = states(&[&short[..], &long, &short].concat(), &[0, 1, 3]);
        let of_short = [
            0xba78_16bf,
            0x8f01_cfea,
            0x4141_40de,
            0x5dae_2223,
            0xb003_61a3,
            0x9617_7a9c,
            0xb410_ff61,
            0xf200_15ad,
        ];
        let of_long = [
            0x248d_6a61,
            0xd206_38b8,
            0xe5c0_2693,
            0x0c3e_6039,
            0xa33c_e459,
            0x64ff_2167,
            0xf6ec_edd4,
            0x19db_06c1,
        ];
        assert_eq!(found[..8], of_short);
        assert_eq!(found[16..24], of_long);
        assert_eq!(found[24..], of_short);
    }
}

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail by panic"
)]

use proptest::prelude::*;

use super::*;

/// The entries of the reference tests of Certificate Transparency, and the roots of the trees of the first
/// 0 to 8 of them (github.com/google/certificate-transparency, `merkletree`).
const ENTRIES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn hash(hex: &str) -> Hash {
    Hash(bytes(hex).try_into().unwrap())
}

/// All leaves in memory; the definition of §2.1, word for word.
struct Plain(Vec<Hash>);

fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty(),
        [one] => *one,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            Hash::node(mth(&leaves[..k]), mth(&leaves[k..]))
        }
    }
}

impl Nodes for Plain {
    type Error = ();

    fn node(&mut self, height: u32, number: u64) -> Result<Hash, ()> {
        let at = usize::try_from(number << height).unwrap();
        self.0.get(at..at + (1 << height)).map(mth).ok_or(())
    }
}

fn reference() -> Plain {
    Plain(ENTRIES.iter().map(|hex| Hash::leaf(&bytes(hex))).collect())
}

#[test]
fn roots_are_those_published() {
    let mut plain = reference();
    let mut growing = Growing::default();
    for (size, expected) in ROOTS.iter().enumerate() {
        assert_eq!(growing.root(), hash(expected), "{size}");
        assert_eq!(root(&mut plain, size as u64), Ok(hash(expected)), "{size}");
        if let Some(leaf) = plain.0.get(size) {
            growing.push(*leaf);
        }
    }
}

#[test]
fn inclusion_proofs_are_those_published() {
    // github.com/google/certificate-transparency, `merkle_tree_test.cc`: (index, size, proof).
    let cases: [(u64, u64, &[&str]); 4] = [
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            3,
            &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
        ),
        (0, 1, &[]),
    ];
    let mut plain = reference();
    for (index, size, expected) in cases {
        let expected: Vec<Hash> = expected.iter().map(|hex| hash(hex)).collect();
        assert_eq!(prove(&mut plain, index, size).unwrap(), expected);
        let leaf = plain.0[usize::try_from(index).unwrap()];
        let whole = hash(ROOTS[usize::try_from(size).unwrap()]);
        assert_eq!(root_of_proof(leaf, index, size, &expected), Some(whole));
    }
}

#[test]
fn a_proof_of_the_wrong_length_or_place_is_none() {
    let leaf = Hash::leaf(b"");
    assert_eq!(root_of_proof(leaf, 0, 0, &[]), None);
    assert_eq!(root_of_proof(leaf, 1, 1, &[]), None);
    assert_eq!(root_of_proof(leaf, 0, 2, &[]), None);
    assert_eq!(root_of_proof(leaf, 0, 1, &[leaf]), None);
    assert_eq!(root_of_proof(leaf, 0, u64::MAX, &[leaf; 65]), None);
    // The largest tree there could be: a path of 64, and nothing overflows.
    assert!(root_of_proof(leaf, u64::MAX - 1, u64::MAX, &[leaf; 64]).is_none());
    assert!(root_of_proof(leaf, 0, u64::MAX, &[leaf; 64]).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_entry_is_proved_and_no_other_takes_its_place(size in 1_u64..600, index in 0_u64..600, other in 0_u64..600) {
        let index = index % size;
        let mut plain = Plain((0..size).map(|n| Hash::leaf(&n.to_be_bytes())).collect());
        let whole = mth(&plain.0);
        let mut growing = Growing::default();
        for leaf in &plain.0 {
            growing.push(*leaf);
        }
        prop_assert_eq!(growing.root(), whole);
        prop_assert_eq!(root(&mut plain, size).unwrap(), whole);
        let proof = prove(&mut plain, index, size).unwrap();
        let at = |n: u64| Hash::leaf(&n.to_be_bytes());
        prop_assert_eq!(root_of_proof(at(index), index, size, &proof), Some(whole));
        if other % size != index {
            prop_assert_ne!(root_of_proof(at(other % size), index, size, &proof), Some(whole));
            prop_assert_ne!(root_of_proof(at(index), other % size, size, &proof), Some(whole));
        }
    }
}

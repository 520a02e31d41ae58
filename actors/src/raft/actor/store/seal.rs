//! Every record is sealed with a checksum, so that a damaged one is never taken for a good one.
//!
//! The seal is the first eight bytes of SHA-256 over the record's name and its bytes: the name is in it so that no record passes for another.
//! The database below has page checksums of its own, which see what the disk does; ours also see what the database does. SHA-256 is here
//! anyway for the handshake of the links, and a few hundred bytes a second do not ask for a faster sum.

use super::error::Flaw;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

const SEAL: usize = 8;

fn sum(record: &str, body: &[u8]) -> [u8; SEAL] {
    let digest = Sha256::new().chain_update((record.len() as u64).to_be_bytes()).chain_update(record).chain_update(body).finalize();
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&digest[..SEAL]);
    seal
}

/// Encodes with field names: a later version finds the fields that it knows, and fills in those that did not exist yet.
pub(super) fn seal<T: Serialize>(record: &str, value: &T) -> Vec<u8> {
    let body = rmp_serde::to_vec_named(value).expect("records are plain data, and memory does not refuse to be written");
    let mut sealed = sum(record, &body).to_vec();
    sealed.extend(body);
    sealed
}

pub(super) fn unseal<T: DeserializeOwned>(record: &str, sealed: &[u8]) -> Result<T, Flaw> {
    let intact = sealed.split_at_checked(SEAL).filter(|(seal, body)| *seal == sum(record, body));
    let (_, body) = intact.ok_or_else(|| Flaw::Checksum { record: record.to_owned() })?;
    rmp_serde::from_slice(body).map_err(|error| Flaw::Undecodable { record: record.to_owned(), detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_breaks_the_seal() {
        let sealed = seal("hard_state", &(3_u64, "vote"));
        assert_eq!(unseal::<(u64, String)>("hard_state", &sealed), Ok((3, "vote".to_owned())));
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal::<(u64, String)>("hard_state", &damaged), Err(Flaw::Checksum { record: "hard_state".to_owned() }));
        }
    }

    #[test]
    fn a_record_does_not_pass_for_another_and_a_cut_one_is_seen() {
        let sealed = seal("entry 7", &7_u64);
        assert!(unseal::<u64>("entry 8", &sealed).is_err());
        for end in 0..sealed.len() {
            assert!(unseal::<u64>("entry 7", &sealed[..end]).is_err());
        }
    }
}

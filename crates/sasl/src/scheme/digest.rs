//! Schemes that hash once: SHA*, SSHA*, SMD5, PLAIN-MD4/5, LDAP-MD5, DIGEST-MD5 and CRAM-MD5.

use md5::digest::Digest;
use md5::digest::block_api::{BlockSizeUser, UpdateCore};
use md5::digest::common::hazmat::SerializableState;

use super::{Kind, Params, Random, SchemeError};
use crate::secret::constant_time_eq;

/// Salt that 2.3 adds to its salted hashes, in bytes.
const SALT_LEN: usize = 4;

/// The raw hash of schemes without salt.
pub(super) fn unsalted(kind: Kind, password: &[u8], params: &Params<'_>) -> Vec<u8> {
    match kind {
        Kind::CramMd5 => cram_md5(password),
        Kind::DigestMd5 => digest_md5(password, params.user),
        Kind::PlainMd4 => md4::Md4::digest(password).to_vec(),
        _ => hash(kind, &[password]),
    }
}

pub(super) fn generate_salted(kind: Kind, password: &[u8], random: Random<'_>) -> Vec<u8> {
    let mut salt = [0; SALT_LEN];
    random(&mut salt);
    let mut raw = hash(kind, &[password, &salt]);
    raw.extend(salt);
    raw
}

pub(super) fn verify_salted(
    kind: Kind,
    name: &str,
    password: &[u8],
    raw: &[u8],
) -> Result<bool, SchemeError> {
    // The format is hash, then salt of any length but none.
    match raw.split_at_checked(hash_len(kind)) {
        Some((expected, salt)) if !salt.is_empty() => {
            Ok(constant_time_eq(&hash(kind, &[password, salt]), expected))
        }
        _ => Err(SchemeError::Malformed(format!("{name} password is too short"))),
    }
}

fn hash_len(kind: Kind) -> usize {
    match kind {
        Kind::Sha1 | Kind::Ssha => 20,
        Kind::Sha256 | Kind::Ssha256 => 32,
        Kind::Sha512 | Kind::Ssha512 => 64,
        _ => 16,
    }
}

fn hash(kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
    fn run<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut digest = D::new();
        parts.iter().for_each(|part| digest.update(part));
        digest.finalize().to_vec()
    }
    match kind {
        Kind::Sha1 | Kind::Ssha => run::<sha1::Sha1>(parts),
        Kind::Sha256 | Kind::Ssha256 => run::<sha2::Sha256>(parts),
        Kind::Sha512 | Kind::Ssha512 => run::<sha2::Sha512>(parts),
        _ => run::<md5::Md5>(parts),
    }
}

/// `MD5(user:realm:password)` (RFC 2831 §2.1.2.1), the realm being what follows the last `@`.
fn digest_md5(password: &[u8], user: &str) -> Vec<u8> {
    let (user, realm) = user.rsplit_once('@').unwrap_or((user, ""));
    hash(Kind::PlainMd5, &[user.as_bytes(), b":", realm.as_bytes(), b":", password])
}

/// The two inner states of HMAC-MD5 after the key's block, outer first, so that CRAM-MD5 works
/// without the password (RFC 2195 §3).
fn cram_md5(password: &[u8]) -> Vec<u8> {
    type Core = md5::block_api::Md5Core;
    let key = if password.len() > 64 { hash(Kind::PlainMd5, &[password]) } else { password.to_vec() };
    let mut context = Vec::with_capacity(32);
    for pad in [0x5c, 0x36] {
        let mut block = md5::digest::common::Block::<Core>::default();
        debug_assert_eq!(block.len(), Core::block_size());
        block.fill(pad);
        block.iter_mut().zip(&key).for_each(|(byte, key)| *byte ^= key);
        let mut core = Core::default();
        core.update_blocks(&[block]);
        context.extend(core.serialize().iter().take(16));
    }
    context
}

/// The HMAC-MD5 of `message` under the key that `context`, the raw CRAM-MD5 hash, stands for; `None`
/// if it has the wrong size.
pub(crate) fn hmac_md5_from_context(context: &[u8], message: &[u8]) -> Option<[u8; 16]> {
    let (outer, inner) = context.split_at_checked(16).filter(|(_, inner)| inner.len() == 16)?;
    let digest = md5_after_block(inner, message);
    Some(md5_after_block(outer, &digest))
}

/// MD5 of a block of 64 bytes, after which the state was `state`, and `message`.
fn md5_after_block(state: &[u8], message: &[u8]) -> [u8; 16] {
    type Core = md5::block_api::Md5Core;
    const BLOCK: usize = 64;
    let bits = u64::try_from(BLOCK + message.len()).unwrap_or(u64::MAX).wrapping_mul(8);
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(BLOCK) - 8, 0);
    padded.extend(bits.to_le_bytes());
    let mut serialized = Core::default().serialize();
    serialized.iter_mut().zip(state).for_each(|(byte, state)| *byte = *state);
    // Every state of this length is one that MD5 can have.
    let mut core = Core::deserialize(&serialized).unwrap_or_default();
    for chunk in padded.chunks_exact(BLOCK) {
        let mut block = md5::digest::common::Block::<Core>::default();
        block.copy_from_slice(chunk);
        core.update_blocks(&[block]);
    }
    let mut digest = [0; 16];
    digest.iter_mut().zip(core.serialize().iter()).for_each(|(byte, state)| *byte = *state);
    digest
}

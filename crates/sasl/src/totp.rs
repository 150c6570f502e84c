//! One-time codes by the clock (RFC 6238): six digits for each half minute, from HMAC-SHA-1 as every
//! authenticator has it.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::Secret;
use crate::limits::{TOTP_SECRET_BYTES_MAX, TOTP_SECRET_BYTES_MIN};
use crate::secret::constant_time_eq;

/// Digits of a code.
pub const DIGITS: usize = 6;

/// How long a code is shown, in seconds.
pub const STEP_S: u64 = 30;

/// So many codes before and after the present one are good, too: clocks differ (RFC 6238 §5.2).
const WINDOW: u64 = 1;

/// The secret that server and authenticator share.
#[derive(Debug, Clone)]
pub struct Totp(Secret);

impl Totp {
    /// From base32 (RFC 4648 §6) as authenticators show it: in any case, with or without blanks,
    /// hyphens and padding. `None` if it is something else, too short or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        let (mut buffer, mut bits) = (0u32, 0);
        for letter in text.trim_end_matches('=').bytes().filter(|byte| !b" -".contains(byte)) {
            let value = match letter.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                digit @ b'2'..=b'7' => digit - b'2' + 26,
                _ => return None,
            };
            buffer = buffer << 5 | u32::from(value);
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push((buffer >> bits) as u8);
                buffer &= (1 << bits) - 1;
            }
        }
        let is_good = (TOTP_SECRET_BYTES_MIN..=TOTP_SECRET_BYTES_MAX).contains(&bytes.len());
        let secret = Secret::new(bytes);
        is_good.then_some(Self(secret))
    }

    /// The number of the step whose code this is, if it is one that is good at `now_s`, in seconds
    /// since 1970.
    pub fn check(&self, code: &str, now_s: u64) -> Option<u64> {
        let now = now_s / STEP_S;
        let steps = now.saturating_sub(WINDOW)..=now.saturating_add(WINDOW);
        let is_it = |step: &u64| constant_time_eq(self.code(*step).as_bytes(), code.as_bytes());
        // All are computed, so that the time tells nothing.
        let good: Vec<u64> = steps.filter(is_it).collect();
        good.last().copied()
    }

    /// The code of a step (RFC 4226 §5.3).
    pub fn code(&self, step: u64) -> String {
        let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(self.0.expose()).expect("HMAC takes any key");
        let hash = mac.chain_update(step.to_be_bytes()).finalize().into_bytes();
        let at = usize::from(hash[19] & 15);
        let number = u32::from_be_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B has eight digits; the last six of them are the code.
    #[test]
    fn codes_of_the_rfc() {
        let totp = Totp::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp.code(time / STEP_S), code, "{time}");
            for (offset, good) in [(0, true), (30, true), (60, false)] {
                assert_eq!(totp.check(code, time + offset).is_some(), good, "{time}+{offset}");
            }
            assert!(totp.check(code, time - 30).is_some(), "{time}");
            assert!(time < 60 || totp.check(code, time - 60).is_none(), "{time}");
        }
        assert!(totp.check("", 59).is_none() && totp.check("28708", 59).is_none());
    }

    #[test]
    fn secrets() {
        let code = |text: &str| Totp::parse(text).map(|totp| totp.code(1));
        let good = code("GEZDGNBVGY3TQOJQ");
        assert!(good.is_some());
        assert_eq!(code("gezd gnbv-gy3tqojq"), good);
        assert_eq!(code("GEZDGNBVGY3TQOJQ===="), good);
        for bad in ["", "GEZDGNBV", "GEZDGNBVGY3TQOJ1", &"A".repeat(1000), "ä"] {
            assert_eq!(code(bad), None, "{bad}");
        }
    }
}

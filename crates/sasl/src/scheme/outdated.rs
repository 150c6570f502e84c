//! Whether a hash is of the kind that new ones are made of.

use super::split_prefix;

/// Whether `stored`, with its `{SCHEME}` or else in `default_scheme`, is in another scheme than
/// `wanted`, or was made with fewer rounds than `rounds`, where it says with how many (0: any).
pub fn is_outdated(stored: &str, default_scheme: &str, wanted: &str, rounds: u32) -> bool {
    let (scheme, hash) = split_prefix(stored);
    let scheme = base(scheme.unwrap_or(default_scheme));
    let scheme = if scheme.eq_ignore_ascii_case("CRYPT") { crypt(hash) } else { scheme };
    let wanted = base(wanted);
    let wanted = if wanted.eq_ignore_ascii_case("CRYPT") { "BLF-CRYPT" } else { wanted };
    if !scheme.eq_ignore_ascii_case(wanted) {
        return true;
    }
    rounds > 0 && rounds_of(hash).is_some_and(|made_with| made_with < rounds)
}

fn base(scheme: &str) -> &str {
    scheme.split('.').next().unwrap_or_default()
}

/// Which of the methods of crypt(3) it is.
fn crypt(hash: &str) -> &'static str {
    match hash {
        _ if hash.starts_with("$1$") => "MD5-CRYPT",
        _ if hash.starts_with("$2") => "BLF-CRYPT",
        _ if hash.starts_with("$5$") => "SHA256-CRYPT",
        _ if hash.starts_with("$6$") => "SHA512-CRYPT",
        _ if hash.starts_with('$') => "CRYPT",
        _ => "DES-CRYPT",
    }
}

fn rounds_of(hash: &str) -> Option<u32> {
    let mut fields = hash.split('$').skip(1);
    match fields.next()? {
        "2" | "2a" | "2b" | "2x" | "2y" => fields.next()?.parse().ok(),
        "5" | "6" => match fields.next()?.strip_prefix("rounds=") {
            Some(rounds) => rounds.parse().ok(),
            None => Some(SHA_CRYPT_ROUNDS_DEFAULT),
        },
        // PBKDF2: `$1$salt$rounds$key`; in MD5-CRYPT there is no number.
        "1" => fields.nth(1)?.parse().ok(),
        "argon2i" | "argon2id" => {
            let passes = hash.split(['$', ',']).find_map(|word| word.strip_prefix("t="))?;
            passes.parse().ok()
        }
        _ => None,
    }
}

/// What a SHA-crypt hash without `rounds=` was made with.
const SHA_CRYPT_ROUNDS_DEFAULT: u32 = 5000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_another_kind() {
        for (stored, wanted, rounds, outdated) in [
            ("{SHA256}x", "ARGON2ID", 0, true),
            ("{PLAIN}x", "SHA512-CRYPT", 0, true),
            ("{SHA512-CRYPT}$6$salt$x", "sha512-crypt", 0, false),
            ("{CRYPT}$6$salt$x", "SHA512-CRYPT", 0, false),
            ("$6$salt$x", "SHA512-CRYPT", 0, false),
            ("{CRYPT}$1$salt$x", "SHA512-CRYPT", 0, true),
            ("{CRYPT}$2y$05$x", "CRYPT", 0, false),
            ("{BLF-CRYPT}$2y$05$x", "BLF-CRYPT", 10, true),
            ("{BLF-CRYPT}$2y$10$x", "BLF-CRYPT", 10, false),
            ("{SHA512-CRYPT}$6$salt$x", "SHA512-CRYPT", 6000, true),
            ("{SHA512-CRYPT}$6$rounds=7000$salt$x", "SHA512-CRYPT", 6000, false),
            ("{PBKDF2}$1$salt$5000$x", "PBKDF2", 6000, true),
            ("{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$x$y", "ARGON2ID", 4, true),
            ("{ARGON2ID.B64}x", "ARGON2ID", 4, false),
        ] {
            assert_eq!(is_outdated(stored, "CRYPT", wanted, rounds), outdated, "{stored} {wanted} {rounds}");
        }
    }
}

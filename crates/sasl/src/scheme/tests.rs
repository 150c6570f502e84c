use super::*;

const USER: Params<'static> = Params { user: "user@dom", rounds: 0 };

/// Counts up, so that salts differ from byte to byte.
fn count(bytes: &mut [u8]) {
    bytes.iter_mut().zip(1..).for_each(|(byte, at)| *byte = at);
}

fn check(password: &str, stored: &str, expect: Result<bool, &str>) {
    let result = verify_stored(password.as_bytes(), &USER, "PLAIN", stored);
    assert_eq!(result.map_err(|error| error.to_string()), expect.map_err(str::to_owned), "{stored}");
}

#[test]
fn hashes_of_real_doveadm_verify() {
    let fixtures = include_str!("../../tests/fixtures/doveadm-pw-2.3.19.txt");
    let mut count = 0;
    for (password, stored) in fixtures.lines().filter_map(|line| line.split_once('\t')) {
        check(password, stored, Ok(true));
        check("wrong", stored, Ok(false));
        count += 1;
    }
    assert!(count > 150, "{count}");
}

#[test]
fn what_is_generated_verifies() {
    for scheme in SCHEMES.iter().filter(|scheme| scheme.kind != Kind::PlainTrunc) {
        for suffix in ["", ".b64", ".HEX"] {
            let name = format!("{}{suffix}", scheme.name);
            let hash = generate(b"secret", &USER, &name, &mut count).unwrap();
            check("secret", &format!("{{{name}}}{hash}"), Ok(true));
            check("wrong", &format!("{{{name}}}{hash}"), Ok(false));
        }
    }
}

#[test]
fn prefixes() {
    for (stored, scheme, hash) in [
        ("{PLAIN}a}b", Some("PLAIN"), "a}b"),
        ("plain", None, "plain"),
        ("{open", None, "{open"),
        ("", None, ""),
        ("$1$salt$hash", Some("MD5-CRYPT"), "$1$salt$hash"),
        ("$1$salt$hash$more", Some("MD5-CRYPT"), "$1$salt$hash"),
        ("$1$salt", None, "$1$salt"),
    ] {
        assert_eq!(split_prefix(stored), (scheme, hash), "{stored}");
    }
}

#[test]
fn odd_entries() {
    check("secret", "{plain}secret", Ok(true));
    check("secret", "secret", Ok(true));
    check("", "{CRYPT}", Ok(false));
    check("x", "{CRYPT}*", Err("crypt() failed: Invalid argument"));
    check("x", "{CRYPT}$7$abc", Err("crypt() failed: Hash method isn't supported"));
    check("x", "{SHA256-CRYPT}$5$rounds=10$abc$x", Err("crypt() failed: Invalid argument"));
    check("x", "{NONE}x", Err("Unknown scheme"));
    check("x", "{PLAIN.b32}x", Err("Unknown scheme"));
    check("x", "{SSHA}AAAA", Err("SSHA password is too short"));
    check("x", "{SSHA}!", Err("Input isn't valid base64 encoded data"));
    check("x", "{SHA256.hex}zz", Err("Input isn't valid HEX encoded data"));
    check("x", "{SHA256.hex}00", Err("Input length isn't valid (1 instead of 32)"));
    check("x", "{MD5}garbage", Err("Not a valid MD5-CRYPT or PLAIN-MD5 password"));
    check("x", "{PBKDF2}x", Err("Invalid PBKDF2 passdb entry prefix"));
    check("x", "{PBKDF2}$1$x", Err("Invalid PBKDF2 passdb entry format"));
    check("x", "{PBKDF2}$1$x$1$00", Err("PBKDF2 hash not 160bit hex-encoded"));
    check("x", "{SCRAM-SHA-1}1,2", Err("Invalid SCRAM-SHA-1 passdb entry format"));
    check("x", "{SCRAM-SHA-1}1,a,b,c", Err("Invalid SCRAM-SHA-1 iteration count in passdb"));
    check("x", "{BLF-CRYPT}x", Err("Password is not blowfish password"));
    check(
        "x",
        "{BLF-CRYPT}$2y$99$abcdefghijklmnopqrstuuabcd",
        Err("crypt_blowfish_rn failed: Invalid argument"),
    );
    check("x", "{ARGON2I}x", Ok(false));
    check(
        "x",
        "{ARGON2ID}$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAA",
        Err("argon2 hash asks for too much memory or time"),
    );
    check("password", "{PLAIN-TRUNC}4-pass", Ok(true));
    check("pass", "{PLAIN-TRUNC}9-pass", Ok(true));
    check("password", "{PLAIN-TRUNC}9-pass", Ok(false));
    check("x", "{PLAIN-TRUNC}x", Err("PLAIN-TRUNC missing length: prefix"));
    check("secret", "{MD5}5ebe2294ecd0e0f08eab7690d2a6ee69", Ok(true));
}

#[test]
fn aliases_and_guesses() {
    assert!(is_alias("plain", "CLEARTEXT"));
    assert!(is_alias("SHA.hex", "SHA1"));
    assert!(!is_alias("SHA256", "SHA512"));
    assert_eq!(detect(b"secret", &USER, "secret"), Some("PLAIN"));
    assert_eq!(detect(b"secret", &USER, "{SHA}x"), None);
}

#[test]
fn only_slow_hashes_go_to_workers() {
    for (scheme, raw, expect) in [
        ("PLAIN", "x", Cost::Cheap),
        ("SSHA512", "x", Cost::Cheap),
        ("CRYPT", "$6$x$y", Cost::Slow),
        ("CRYPT", "*", Cost::Cheap),
        ("ARGON2ID", "x", Cost::Slow),
        ("BLF-CRYPT", "x", Cost::Slow),
        ("NONE", "x", Cost::Cheap),
    ] {
        assert_eq!(cost(scheme, raw.as_bytes()), expect, "{scheme}");
    }
}

//! Real `doveadm pw -t` verifies the hashes that we make. Needs Dovecot 2.3 on the machine.

use std::process::{Command, Stdio};

use sasl::scheme::{Params, SCHEMES, generate};

fn doveadm_says_verified(stored: &str, password: &str) -> bool {
    Command::new("doveadm")
        .args(["pw", "-u", "user@dom", "-t", stored, "-p", password])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn real_doveadm_verifies_our_hashes() {
    if Command::new("doveadm").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var("REQUIRE").as_deref() != Ok("all"), "doveadm is not installed");
        return println!("left out: doveadm is not installed");
    }
    let mut seed = 7_u8;
    let mut random = |bytes: &mut [u8]| {
        bytes.iter_mut().for_each(|byte| {
            seed = seed.wrapping_mul(29).wrapping_add(113);
            *byte = seed;
        });
    };
    for scheme in SCHEMES.iter().filter(|scheme| scheme.name != "PLAIN-TRUNC") {
        for suffix in ["", ".b64", ".hex"] {
            let name = format!("{}{suffix}", scheme.name);
            let params = Params { user: "user@dom", rounds: 0 };
            let hash = generate("pa ss}wörd".as_bytes(), &params, &name, &mut random).unwrap();
            let stored = format!("{{{name}}}{hash}");
            assert!(doveadm_says_verified(&stored, "pa ss}wörd"), "{stored}");
            assert!(!doveadm_says_verified(&stored, "wrong"), "{stored}");
        }
    }
}

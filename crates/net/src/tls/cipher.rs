//! OpenSSL's cipher strings, applied to the suites that rustls has. `ssl_cipher_list` chooses among
//! those of TLS 1.2, `ssl_cipher_suites` among those of TLS 1.3, `ssl_curve_list` the key exchanges.

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SupportedCipherSuite};

use super::{Details, ServerOptions};

struct Suite {
    id: CipherSuite,
    name: &'static str,
    bits: u16,
    /// The keywords of OpenSSL's `ciphers(1)` that select it.
    keywords: &'static [&'static str],
}

const fn suite(id: CipherSuite, name: &'static str, bits: u16, keywords: &'static [&'static str]) -> Suite {
    Suite { id, name, bits, keywords }
}

const SUITES: &[Suite] = &[
    suite(CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", 256, &[]),
    suite(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256", 256, &[]),
    suite(CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", 128, &[]),
    suite(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        256,
        &["aECDSA", "ECDSA", "AES", "AES256", "AESGCM", "SHA384"],
    ),
    suite(
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        256,
        &["aRSA", "AES", "AES256", "AESGCM", "SHA384"],
    ),
    suite(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        256,
        &["aECDSA", "ECDSA", "CHACHA20", "SHA256"],
    ),
    suite(
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        256,
        &["aRSA", "CHACHA20", "SHA256"],
    ),
    suite(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        128,
        &["aECDSA", "ECDSA", "AES", "AES128", "AESGCM", "SHA256"],
    ),
    suite(
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        128,
        &["aRSA", "AES", "AES128", "AESGCM", "SHA256"],
    ),
];

/// Keywords that select every suite here, since all are ephemeral, strong and of TLS 1.2.
const SELECT_ALL: &[&str] = &[
    "ALL",
    "DEFAULT",
    "COMPLEMENTOFDEFAULT",
    "HIGH",
    "TLSv1.2",
    "kECDHE",
    "kEECDH",
    "ECDHE",
    "EECDH",
    "ECDH",
    "FIPS",
];

/// Keywords that select nothing here but are no mistakes.
const SELECT_NONE: &[&str] = &[
    "eNULL",
    "NULL",
    "aNULL",
    "LOW",
    "MEDIUM",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "DES",
    "3DES",
    "RC2",
    "RC4",
    "IDEA",
    "SEED",
    "MD5",
    "SHA",
    "SHA1",
    "PSK",
    "aPSK",
    "kPSK",
    "kECDHEPSK",
    "kDHEPSK",
    "kRSAPSK",
    "SRP",
    "kSRP",
    "aSRP",
    "ADH",
    "AECDH",
    "DH",
    "DHE",
    "EDH",
    "kDH",
    "kDHE",
    "kEDH",
    "kDHr",
    "kDHd",
    "aDH",
    "DSS",
    "aDSS",
    "RSA",
    "kRSA",
    "kECDH",
    "kECDHe",
    "kECDHr",
    "aECDH",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "AESCCM",
    "AESCCM8",
    "TLSv1",
    "TLSv1.0",
    "SSLv3",
    "SSLv2",
    "GOST94",
    "kGOST",
    "aGOST",
    "aGOST01",
    "GOST89MAC",
    "COMPLEMENTOFALL",
    "SUITEB128",
    "SUITEB192",
    "AESCBC",
    "CHACHA",
];

/// Protocol versions in the form rustls takes.
pub(super) type Versions = &'static [&'static rustls::SupportedProtocolVersion];

static FROM_TLS12: Versions = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// What is left where nothing below TLS 1.3 can be used.
pub(super) static ONLY_TLS13: Versions = &[&rustls::version::TLS13];

/// What rustls calls a suite, in OpenSSL's words.
pub(super) fn details(version: ProtocolVersion, id: CipherSuite) -> Details {
    let protocol = match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let suite = SUITES.iter().find(|suite| suite.id == id);
    let (cipher, bits) = suite.map_or(("(unknown)", 0), |suite| (suite.name, suite.bits));
    Details { protocol, cipher, bits }
}

/// A crypto provider reduced to what the settings allow. What cannot be mapped is reported through
/// `warnings`; a list that leaves nothing falls back to what rustls has.
pub(super) fn provider(options: &ServerOptions, warnings: &mut Vec<String>) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let mut suites = tls13_suites(&options.cipher_suites, warnings);
    suites.extend(tls12_suites(&options.cipher_list, warnings));
    let available = std::mem::take(&mut provider.cipher_suites);
    provider.cipher_suites =
        suites.iter().filter_map(|id| available.iter().find(|suite| suite.suite() == *id).copied()).collect();
    if !options.curve_list.is_empty() {
        let groups = groups(&options.curve_list, warnings);
        if !groups.is_empty() {
            provider.kx_groups = groups;
        }
    }
    provider
}

/// The protocol versions that `ssl_min_protocol` leaves, or `None` for a value it does not know.
pub(super) fn versions(min_protocol: &str, warnings: &mut Vec<String>) -> Option<Versions> {
    match min_protocol {
        "TLSv1.2" | "" => Some(FROM_TLS12),
        "TLSv1.3" | "LATEST" => Some(ONLY_TLS13),
        "ANY" | "SSLv3" | "TLSv1" | "TLSv1.1" => {
            warnings
                .push(format!("ssl_min_protocol={min_protocol}: protocols below TLSv1.2 are not offered"));
            Some(FROM_TLS12)
        }
        _ => None,
    }
}

fn of_version(tls13: bool) -> impl Iterator<Item = &'static Suite> {
    SUITES.iter().filter(move |suite| suite.keywords.is_empty() == tls13)
}

fn tls13_suites(list: &str, warnings: &mut Vec<String>) -> Vec<CipherSuite> {
    let mut chosen = Vec::new();
    for name in list.split(':').filter(|name| !name.is_empty()) {
        match of_version(true).find(|suite| suite.name == name) {
            Some(suite) => chosen.push(suite.id),
            None => warnings.push(format!("ssl_cipher_suites: {name} is not available and left out")),
        }
    }
    if chosen.is_empty() { of_version(true).map(|suite| suite.id).collect() } else { chosen }
}

fn tls12_suites(list: &str, warnings: &mut Vec<String>) -> Vec<CipherSuite> {
    let mut chosen: Vec<&Suite> = Vec::new();
    let mut killed: Vec<&str> = Vec::new();
    for token in list.split([':', ',', ' ']).filter(|token| !token.is_empty()) {
        // @STRENGTH and @SECLEVEL order and filter; all suites here are strong and sorted.
        let token = token.split('@').next().unwrap_or_default();
        let (action, selector) = match token.as_bytes().first() {
            None => continue,
            Some(b'!' | b'-' | b'+') => token.split_at(1),
            Some(_) => ("", token),
        };
        let Some(selected) = select(selector) else {
            // As with OpenSSL, a suite that is not there is simply not used; a name that looks like
            // one is therefore only worth a warning when nothing at all is left.
            continue;
        };
        match action {
            "" => selected.iter().for_each(|suite| {
                if !chosen.iter().any(|have| have.id == suite.id) && !killed.contains(&suite.name) {
                    chosen.push(suite);
                }
            }),
            "+" => {
                let (last, mut first): (Vec<_>, Vec<_>) =
                    chosen.into_iter().partition(|have| selected.iter().any(|suite| suite.id == have.id));
                first.extend(last);
                chosen = first;
            }
            remove => {
                chosen.retain(|have| !selected.iter().any(|suite| suite.id == have.id));
                if remove == "!" {
                    killed.extend(selected.iter().map(|suite| suite.name));
                }
            }
        }
    }
    if list.is_empty() {
        return of_version(false).map(|suite| suite.id).collect();
    }
    if chosen.is_empty() {
        warnings.push(format!(
            "ssl_cipher_list={list}: none of these ciphers is available for TLSv1.2, only TLSv1.3 is offered"
        ));
    }
    chosen.into_iter().map(|suite| suite.id).collect()
}

/// The suites that all keywords of a `+` combination have in common; `None` if one is unknown.
fn select(selector: &str) -> Option<Vec<&'static Suite>> {
    let mut selected: Vec<&Suite> = of_version(false).collect();
    for keyword in selector.split('+') {
        if SELECT_NONE.contains(&keyword) {
            selected.clear();
        } else if !SELECT_ALL.contains(&keyword) {
            let known =
                of_version(false).any(|suite| suite.name == keyword || suite.keywords.contains(&keyword));
            if !known {
                return None;
            }
            selected.retain(|suite| suite.name == keyword || suite.keywords.contains(&keyword));
        }
    }
    Some(selected)
}

fn groups(list: &str, warnings: &mut Vec<String>) -> Vec<&'static dyn SupportedKxGroup> {
    let mut chosen: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for name in list.split([':', ',', ' ']).filter(|name| !name.is_empty()) {
        let group = match name {
            "X25519" | "x25519" => Some(NamedGroup::X25519),
            "P-256" | "prime256v1" | "secp256r1" => Some(NamedGroup::secp256r1),
            "P-384" | "secp384r1" => Some(NamedGroup::secp384r1),
            "P-521" | "secp521r1" => Some(NamedGroup::secp521r1),
            "X25519MLKEM768" => Some(NamedGroup::X25519MLKEM768),
            "SecP256r1MLKEM768" => Some(NamedGroup::secp256r1MLKEM768),
            _ => None,
        };
        match group.and_then(|group| aws_lc_rs::ALL_KX_GROUPS.iter().find(|have| have.name() == group)) {
            Some(group) => chosen.push(*group),
            None => warnings.push(format!("ssl_curve_list: {name} is not available and left out")),
        }
    }
    chosen
}

/// Whether a suite of TLS 1.2 is left.
pub(super) fn has_tls12(suites: &[SupportedCipherSuite]) -> bool {
    suites.iter().any(|suite| suite.tls13().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, expected: &str) {
        let names: Vec<_> = tls12_suites(list, &mut Vec::new())
            .iter()
            .filter_map(|id| SUITES.iter().find(|suite| suite.id == *id))
            .map(|suite| suite.name.trim_start_matches("ECDHE-"))
            .collect();
        assert_eq!(names.join(" "), expected, "{list}");
    }

    #[test]
    fn cipher_lists() {
        let all = "ECDSA-AES256-GCM-SHA384 RSA-AES256-GCM-SHA384 ECDSA-CHACHA20-POLY1305 \
                   RSA-CHACHA20-POLY1305 ECDSA-AES128-GCM-SHA256 RSA-AES128-GCM-SHA256";
        check(
            "ALL:!kRSA:!SRP:!kDHd:!DSS:!aNULL:!eNULL:!EXPORT:!DES:!3DES:!MD5:!PSK:!RC4:!ADH:!LOW@STRENGTH",
            all,
        );
        check("HIGH:!aECDSA:!CHACHA20", "RSA-AES256-GCM-SHA384 RSA-AES128-GCM-SHA256");
        check(
            "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES256-SHA",
            "RSA-AES128-GCM-SHA256 RSA-AES256-GCM-SHA384",
        );
        check(
            "EECDH+AESGCM:EDH+AESGCM",
            "ECDSA-AES256-GCM-SHA384 RSA-AES256-GCM-SHA384 ECDSA-AES128-GCM-SHA256 RSA-AES128-GCM-SHA256",
        );
        check("RC4", "");
        check("!AESGCM:ALL", "ECDSA-CHACHA20-POLY1305 RSA-CHACHA20-POLY1305");
    }

    #[test]
    fn every_suite_is_known() {
        for suite in aws_lc_rs::ALL_CIPHER_SUITES {
            assert!(SUITES.iter().any(|known| known.id == suite.suite()), "{suite:?}");
        }
    }

    #[test]
    fn unknown_things_warn() {
        let mut warnings = Vec::new();
        assert_eq!(groups("X25519:brainpoolP256r1:P-384", &mut warnings).len(), 2);
        assert_eq!(tls13_suites("TLS_AES_128_CCM_SHA256", &mut warnings).len(), 3);
        assert!(versions("TLSv1", &mut warnings).is_some());
        assert!(versions("TLSv9", &mut warnings).is_none());
        assert_eq!(warnings.len(), 3);
    }
}

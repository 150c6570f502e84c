//! Checks of authentication.

use super::sections;
use crate::decl::SectionKind;
use crate::filter::Network;
use crate::key::{self, passdb, userdb};
use crate::tree::Node;

pub(super) fn check(node: &Node) -> Result<(), String> {
    if node.value(key::AUTH_WORKER_MAX_COUNT.index()).number() == 0 {
        return Err("auth_worker_max_count must be above zero".into());
    }
    let cache = node.value(key::AUTH_CACHE_SIZE.index()).number();
    if (1..1024).contains(&cache) {
        return Err(format!("auth_cache_size value is too small ({cache} bytes)"));
    }
    verbose_passwords(node.value(key::AUTH_VERBOSE_PASSWORDS.index()).text())?;
    policy(node)?;
    bans(node)?;
    for section in sections(node, SectionKind::Passdb) {
        if section.value(passdb::DRIVER.index()).text().is_empty() {
            return Err("passdb is missing driver".into());
        }
        let success = section.value(passdb::RESULT_SUCCESS.index()).text();
        if section.value(passdb::PASS.index()).is_yes() && success != "return-ok" {
            return Err("Obsolete pass=yes setting mixed with non-default result_success".into());
        }
    }
    let drivers =
        sections(node, SectionKind::Userdb).iter().map(|section| section.value(userdb::DRIVER.index()));
    if drivers.into_iter().any(|driver| driver.text().is_empty()) {
        return Err("userdb is missing driver".into());
    }
    Ok(())
}

fn verbose_passwords(value: &str) -> Result<(), String> {
    let (word, length) = value.split_once(':').map_or((value, None), |(word, length)| (word, Some(length)));
    if let Some(length) = length.filter(|length| !length.parse::<u32>().is_ok_and(|number| number > 0)) {
        return Err(format!("auth_verbose_passwords: Invalid truncation number: '{length}'"));
    }
    match word {
        "no" | "plain" | "sha1" | "yes" => Ok(()),
        _ => Err("auth_verbose_passwords: Invalid value".into()),
    }
}

fn bans(node: &Node) -> Result<(), String> {
    for (key, most) in [(key::AUTH_BAN_IPV4_BITS, 32), (key::AUTH_BAN_IPV6_BITS, 128)] {
        let bits = node.value(key.index()).number();
        if !(1..=most).contains(&bits) {
            return Err(format!("{} must be between 1 and {most}", key.name()));
        }
    }
    let networks = node.value(key::AUTH_BAN_EXEMPT_NETWORKS.index()).text();
    for network in networks.split([' ', ',']).filter(|network| !network.is_empty()) {
        if Network::parse(network).is_none() {
            return Err(format!("auth_ban_exempt_networks: Invalid network '{network}'"));
        }
    }
    Ok(())
}

fn policy(node: &Node) -> Result<(), String> {
    if node.value(key::AUTH_POLICY_SERVER_URL.index()).text().is_empty() {
        return Ok(());
    }
    if node.value(key::AUTH_POLICY_HASH_NONCE.index()).text().is_empty() {
        return Err("auth_policy_hash_nonce must be set when policy server is used".into());
    }
    let bits = match node.value(key::AUTH_POLICY_HASH_MECH.index()).text() {
        "md4" | "md5" => 128,
        "sha1" => 160,
        "sha256" | "sha3-256" => 256,
        "sha384" => 384,
        "sha512" | "sha3-512" => 512,
        _ => return Err("invalid auth_policy_hash_mech given".into()),
    };
    let truncate = node.value(key::AUTH_POLICY_HASH_TRUNCATE.index()).number();
    if truncate >= bits {
        return Err(format!("policy_hash_truncate is not smaller than digest size ({truncate} >= {bits})"));
    }
    Ok(())
}

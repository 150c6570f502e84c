use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base::Logger;

use super::*;
use crate::dict::DictUri;

const NOW: i64 = 1_700_000_000;
const SECRET: &[u8] = b"a secret of many bytes for HS256";

fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let value =
            chunk.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len())
            .for_each(|at| text.push(char::from(ALPHABET[(value >> (18 - 6 * at) & 63) as usize])));
    }
    text
}

fn config(dir: &std::path::Path, more: &[(&str, &str)]) -> Oauth2Config {
    let dict = format!("fs:posix:prefix={}/", dir.display());
    let mut items = vec![("introspection_mode", "local"), ("local_validation_key_dict", &dict)];
    items.extend(more);
    let items: Vec<_> = items.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Oauth2Config::from_items("/x", &items, &|uri| DictUri::parse(&settings::StdFiles, uri, "")).unwrap()
}

fn validate(config: &Oauth2Config, token: &str, now_s: i64) -> Result<Fields, String> {
    let mut keys = config.keys.as_ref().map(|uri| Dict::new(uri, &Logger::new("")));
    super::validate(config, keys.as_mut(), token, now_s)
}

fn unsigned(header: &str, claims: &str) -> String {
    format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()))
}

fn hs256(header: &str, claims: &str) -> String {
    let text = unsigned(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), text.as_bytes());
    format!("{text}.{}", encode(tag.as_ref()))
}

fn key_file(dir: &std::path::Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn secrets() {
    let dir = tempfile::tempdir().unwrap();
    key_file(dir.path(), "default/HS256/default", &format!("{}\n", encode(SECRET)));
    key_file(dir.path(), "ap%2fp/HS256/k%2f1", &encode(SECRET));
    key_file(dir.path(), "secret", &encode(SECRET));
    let plain = config(dir.path(), &[]);
    let strict = config(dir.path(), &[("issuers", "good other")]);
    let head = r#"{"typ":"JWT","alg":"HS256"}"#;
    let claims = |more: &str| format!(r#"{{"sub":"x","exp":{}{more}}}"#, NOW + 10);
    let check = |config: &Oauth2Config, token: &str, expect: Result<&str, &str>| {
        let got = validate(config, token, NOW);
        let got = got.map(|fields| {
            fields.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        });
        assert_eq!(got.as_deref().map_err(String::as_str), expect, "{token}");
    };
    let good = hs256(head, &claims(r#","email":"joe@x","aud":["a","b"],"in":{"deep":1}"#));
    check(&plain, &good, Ok("aud=a b email=joe@x exp=1700000010 deep=1 sub=x"));
    let other = r#"{"typ":"JWT","alg":"hs256","kid":"k/1"}"#;
    check(&plain, &hs256(other, &claims(r#","azp":"ap/p""#)), Ok("azp=ap/p exp=1700000010 sub=x"));
    check(&plain, &format!("{good}x"), Err("Incorrect JWT signature"));
    check(&plain, &format!("{}.", good.rsplit_once('.').unwrap().0), Err("Incorrect JWT signature"));
    check(&plain, "abc", Err("Not a JWT token"));
    check(&plain, "a.b.c", Err("Not a JWT token"));
    check(&plain, &format!("{good}.x"), Err("Not a JWT token"));
    check(&plain, &hs256(r#"{"alg":"HS256"}"#, &claims("")), Err("Cannot find 'typ' field"));
    let none = unsigned(r#"{"typ":"JWT","alg":"none"}"#, &claims(""));
    check(&plain, &format!("{none}."), Err("Unsupported algorithm 'NONE'"));
    for kid in ["..", "."] {
        let head = format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{kid}"}}"#);
        check(&plain, &hs256(&head, &claims("")), Err("Invalid key identifier"));
    }
    let up = r#"{"typ":"JWT","alg":"HS256","kid":"../../secret"}"#;
    check(&plain, &hs256(up, &claims("")), Err("HS256 key '..%2f..%2fsecret' not found"));
    check(&plain, &hs256(head, r#"{"sub":"x"}"#), Err("Missing 'exp' field"));
    check(&plain, &hs256(head, r#"{"sub":"x","exp":"x"}"#), Err("Malformed 'exp' field"));
    check(&plain, &hs256(head, &format!(r#"{{"sub":"x","exp":{}}}"#, NOW - 1)), Err("Token has expired"));
    check(&plain, &hs256(head, &claims(&format!(r#","nbf":{}"#, NOW + 1))), Err("Token is not valid yet"));
    check(&plain, &hs256(head, &claims(&format!(r#","iat":{}"#, NOW + 1))), Err("Token is issued in future"));
    check(&plain, &hs256(head, &format!(r#"{{"exp":{NOW}}}"#)), Err("Missing 'sub' field"));
    check(&strict, &good, Err("Token is missing 'iss' field"));
    check(&strict, &hs256(head, &claims(r#","iss":"evil""#)), Err("Issuer 'evil' is not allowed"));
    check(&strict, &hs256(head, &claims(r#","iss":"good""#)), Ok("exp=1700000010 iss=good sub=x"));
    let deep = format!(r#","a":{}1{}"#, r#"{"a":"#.repeat(100), "}".repeat(100));
    assert!(validate(&plain, &hs256(head, &claims(&deep)), NOW).is_ok());
}

#[test]
fn public_keys() {
    let dir = tempfile::tempdir().unwrap();
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    // SubjectPublicKeyInfo of a P-256 key: a constant head, then the point.
    let mut der = vec![
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    der.extend_from_slice(pair.public_key().as_ref());
    let body = encode(&der).replace('-', "+").replace('_', "/");
    let padding = "=".repeat((4 - body.len() % 4) % 4);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}{padding}\n-----END PUBLIC KEY-----\n");
    key_file(dir.path(), "default/ES256/default", &pem);
    key_file(dir.path(), "default/ES256/broken", "no key");
    key_file(dir.path(), "default/HS256/default", &pem);
    let config = config(dir.path(), &[]);
    let claims = format!(r#"{{"sub":"x","exp":{}}}"#, NOW + 10);
    let text = unsigned(r#"{"typ":"JWT","alg":"ES256"}"#, &claims);
    let seal = pair.sign(&random, text.as_bytes()).unwrap();
    let good = format!("{text}.{}", encode(seal.as_ref()));
    assert!(validate(&config, &good, NOW).is_ok());
    assert_eq!(validate(&config, &format!("{text}.AAAA"), NOW), Err("Bad signature".into()));
    // The public key is no secret.
    let forged = hs256(r#"{"typ":"JWT","alg":"HS256"}"#, &claims);
    assert!(validate(&config, &forged, NOW).is_err());
    let broken = unsigned(r#"{"typ":"JWT","alg":"ES256","kid":"broken"}"#, &claims);
    assert!(validate(&config, &format!("{broken}.AAAA"), NOW).unwrap_err().starts_with("Cannot load key"));
}

/// RFC 7517: keys as OpenID servers publish them; and in another dictionary than a directory.
#[test]
fn json_web_keys() {
    let dir = tempfile::tempdir().unwrap();
    let claims = format!(r#"{{"sub":"x","exp":{}}}"#, NOW + 10);
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let text = unsigned(r#"{"typ":"JWT","alg":"ES256"}"#, &claims);
    let curve = format!("{text}.{}", encode(pair.sign(&random, text.as_bytes()).unwrap().as_ref()));
    let point = pair.public_key().as_ref();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));

    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let text = unsigned(r#"{"typ":"JWT","alg":"RS256"}"#, &claims);
    let mut seal = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut seal).unwrap();
    let rsa = format!("{text}.{}", encode(&seal));
    // SEQUENCE, INTEGER of 257 bytes of which the first is 0, INTEGER of 3 bytes.
    let public = pair.public_key().as_ref();
    let (n, e) = (encode(&public[9..265]), encode(&public[267..]));

    let values = dir.path().join("values");
    let uri = format!("file:{}", values.display());
    let items = [("introspection_mode", "local"), ("local_validation_key_dict", &*uri)];
    let items = items.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let keys = |uri: &str| DictUri::parse(&settings::StdFiles, uri, "");
    let config = Oauth2Config::from_items("/x", &items, &keys).unwrap();
    let check = |algorithm: &str, key: &str, token: &str, expect: Result<(), &str>| {
        std::fs::write(&values, format!("shared/default/{algorithm}/default\n{key}\n")).unwrap();
        assert_eq!(validate(&config, token, NOW).map(drop), expect.map_err(str::to_owned), "{key}");
    };
    let point = |x: &str, y: &str| format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
    check("ES256", &point(&x, &y), &curve, Ok(()));
    check("ES256", &point(&y, &x), &curve, Err("Bad signature"));
    check("ES256", &point(&x, ""), &curve, Err("Cannot load key: the JWK has no 'y'"));
    let short = "Cannot load key: not a point of the algorithm's curve";
    check("ES256", &point(&x, &n), &curve, Err(short));
    let modulus = |n: &str, e: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#);
    check("RS256", &modulus(&n, &e), &rsa, Ok(()));
    check("RS256", &modulus(&x, &e), &rsa, Err("Bad signature"));
    // A public key is no secret, and no key of another kind.
    check("RS256", &point(&x, &y), &rsa, Err("Cannot load key: no JWK of type RSA"));
    check("ES256", &modulus(&n, &e), &rsa, Err("RS256 key 'default' not found"));
}

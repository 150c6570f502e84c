//! Logging in to MySQL and MariaDB, with a password in one of the ways that both have.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::wire::{EOF, ERROR, Failure, OK, Parts, Wire, refusal, unexpected};
use crate::limits::MYSQL_PACKET_BYTES_MAX;
use crate::tls::TlsOptions;

/// Capabilities, as the protocol calls them.
mod capability {
    pub(super) const LONG_PASSWORD: u32 = 0x01;
    pub(super) const LONG_FLAG: u32 = 0x04;
    pub(super) const CONNECT_WITH_DB: u32 = 0x08;
    pub(super) const PROTOCOL_41: u32 = 0x0200;
    pub(super) const SSL: u32 = 0x0800;
    pub(super) const TRANSACTIONS: u32 = 0x2000;
    pub(super) const SECURE_CONNECTION: u32 = 0x8000;
    /// Stored procedures need it, as 2.3 found out.
    pub(super) const MULTI_RESULTS: u32 = 0x0002_0000;
    pub(super) const PS_MULTI_RESULTS: u32 = 0x0004_0000;
    pub(super) const PLUGIN_AUTH: u32 = 0x0008_0000;
}

/// `utf8mb4_general_ci`
const CHARACTER_SET: u8 = 45;
/// The one version of the protocol that there is.
const PROTOCOL: u8 = 10;
/// The longest packet that we take, as we say.
const PACKET_BYTES: u32 = 0x100_0000;

/// `AuthMoreData` and what comes in it for `caching_sha2_password`.
const MORE_DATA: u8 = 0x01;
const IS_CACHED: u8 = 0x03;
const IS_NOT_CACHED: u8 = 0x04;
/// Asks for the server's key.
const KEY_PLEASE: u8 = 0x02;

/// Who logs in, and how.
pub(super) struct Login<'l> {
    pub(super) user: &'l str,
    pub(super) password: &'l str,
    /// Empty for none.
    pub(super) database: &'l str,
    /// TLS is used, with a server of that name.
    pub(super) tls: Option<(&'l str, &'l TlsOptions)>,
    /// Nobody can listen, even without TLS.
    pub(super) is_private: bool,
}

/// How a password is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugin {
    /// `mysql_native_password`
    Native,
    /// `caching_sha2_password`
    CachingSha2,
}

impl Plugin {
    fn find(name: &[u8]) -> Option<Self> {
        match name {
            b"mysql_native_password" => Some(Self::Native),
            b"caching_sha2_password" => Some(Self::CachingSha2),
            _ => None,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::Native => b"mysql_native_password",
            Self::CachingSha2 => b"caching_sha2_password",
        }
    }

    /// What proves that we know the password; nothing if there is none.
    fn proof(self, password: &str, nonce: &[u8]) -> Vec<u8> {
        if password.is_empty() {
            return Vec::new();
        }
        let hash = |parts: &[&[u8]]| {
            let algorithm = match self {
                Self::Native => &SHA1_FOR_LEGACY_USE_ONLY,
                Self::CachingSha2 => &SHA256,
            };
            let mut context = digest::Context::new(algorithm);
            parts.iter().for_each(|part| context.update(part));
            context.finish()
        };
        let once = hash(&[password.as_bytes()]);
        let twice = hash(&[once.as_ref()]);
        let mask = match self {
            Self::Native => hash(&[nonce, twice.as_ref()]),
            Self::CachingSha2 => hash(&[twice.as_ref(), nonce]),
        };
        once.as_ref().iter().zip(mask.as_ref()).map(|(a, b)| a ^ b).collect()
    }
}

/// What the server says first.
#[derive(Debug, PartialEq, Eq)]
struct Greeting {
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: Option<Plugin>,
}

impl Greeting {
    fn parse(packet: &[u8]) -> Option<Self> {
        let mut parts = Parts(packet);
        if parts.byte()? != PROTOCOL {
            return None;
        }
        parts.until_zero();
        // The number of the connection.
        parts.take(4)?;
        let mut nonce = parts.take(8)?.to_vec();
        parts.byte()?;
        let low = parts.short()?;
        // The character set and the status.
        parts.take(1 + 2)?;
        let high = parts.short()?;
        let capabilities = u32::from(low) | u32::from(high) << 16;
        // How long the nonce is, which is always as long; and nothing.
        parts.take(1 + 10)?;
        nonce.extend_from_slice(parts.take(12)?);
        parts.byte()?;
        Some(Self { capabilities, nonce, plugin: Plugin::find(parts.until_zero()) })
    }
}

impl Login<'_> {
    /// Logs in; gives the connection back, which is ready for queries then.
    pub(super) fn run(&self, mut wire: Wire) -> Result<Wire, Failure> {
        let greeting = Greeting::parse(&wire.answer()?).ok_or_else(unexpected)?;
        let capabilities = self.capabilities() & greeting.capabilities;
        if capabilities & capability::PROTOCOL_41 == 0 {
            return Err(unexpected());
        }
        let request = Self::request(capabilities);
        if let Some((host, options)) = self.tls {
            if capabilities & capability::SSL == 0 {
                return Err(Failure::Io("the server does not support TLS".into()));
            }
            let config = options.client_config().map_err(Failure::Io)?;
            wire.send(&request)?;
            wire = wire.secure(host, config)?;
        }
        let plugin = greeting.plugin.unwrap_or(Plugin::Native);
        let mut response = Zeroizing::new(request);
        response.extend_from_slice(self.user.as_bytes());
        response.push(0);
        let proof = plugin.proof(self.password, &greeting.nonce);
        response.push(u8::try_from(proof.len()).unwrap_or_default());
        response.extend_from_slice(&proof);
        if capabilities & capability::CONNECT_WITH_DB != 0 {
            response.extend_from_slice(self.database.as_bytes());
            response.push(0);
        }
        if capabilities & capability::PLUGIN_AUTH != 0 {
            response.extend_from_slice(plugin.name());
            response.push(0);
        }
        wire.send(&response)?;
        self.prove(&mut wire, plugin, greeting.nonce)?;
        wire.packet_max = MYSQL_PACKET_BYTES_MAX;
        Ok(wire)
    }

    fn capabilities(&self) -> u32 {
        use capability::{
            CONNECT_WITH_DB, LONG_FLAG, LONG_PASSWORD, MULTI_RESULTS, PLUGIN_AUTH, PROTOCOL_41,
            PS_MULTI_RESULTS, SECURE_CONNECTION, SSL, TRANSACTIONS,
        };
        let mut wanted = LONG_PASSWORD | LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION;
        wanted |= MULTI_RESULTS | PS_MULTI_RESULTS | PLUGIN_AUTH;
        if !self.database.is_empty() {
            wanted |= CONNECT_WITH_DB;
        }
        if self.tls.is_some() {
            wanted |= SSL;
        }
        wanted
    }

    /// What the answer to the greeting begins with, and all there is of it before TLS.
    fn request(capabilities: u32) -> Vec<u8> {
        let mut out = capabilities.to_le_bytes().to_vec();
        out.extend(PACKET_BYTES.to_le_bytes());
        out.push(CHARACTER_SET);
        out.extend([0; 23]);
        out
    }

    /// Goes on until the server says yes or no.
    fn prove(&self, wire: &mut Wire, mut plugin: Plugin, mut nonce: Vec<u8>) -> Result<(), Failure> {
        loop {
            let packet = wire.receive()?;
            match packet.as_slice() {
                [OK, ..] => return Ok(()),
                [ERROR, ..] => return Err(refusal(&packet)),
                [EOF] => return Err(Failure::Io("The server asks for an outdated authentication".into())),
                [EOF, rest @ ..] => {
                    let mut parts = Parts(rest);
                    let name = parts.until_zero();
                    plugin = Plugin::find(name).ok_or_else(|| {
                        let name = String::from_utf8_lossy(name);
                        Failure::Io(format!("Authentication plugin '{name}' is not supported"))
                    })?;
                    nonce = parts.until_zero().to_vec();
                    wire.send(&plugin.proof(self.password, &nonce))?;
                }
                [MORE_DATA, IS_CACHED] if plugin == Plugin::CachingSha2 => {}
                [MORE_DATA, IS_NOT_CACHED] if plugin == Plugin::CachingSha2 => self.reveal(wire, &nonce)?,
                _ => return Err(unexpected()),
            }
        }
    }

    /// Sends the password itself, encrypted in one way or the other.
    fn reveal(&self, wire: &mut Wire, nonce: &[u8]) -> Result<(), Failure> {
        let mut password = Zeroizing::new(self.password.as_bytes().to_vec());
        password.push(0);
        if self.tls.is_some() || self.is_private {
            return wire.send(&password);
        }
        wire.send(&[KEY_PLEASE])?;
        let packet = wire.answer()?;
        let key = packet.strip_prefix(&[MORE_DATA]).ok_or_else(unexpected)?;
        if nonce.is_empty() {
            return Err(unexpected());
        }
        password.iter_mut().zip(nonce.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        let encrypted = encrypt(key, &password);
        wire.send(&encrypted.ok_or_else(|| Failure::Io("The server's key cannot be used".into()))?)
    }
}

fn encrypt(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(key).ok()?;
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&key).ok()?).ok()?;
    let mut out = vec![0; key.ciphertext_size()];
    let length = key.encrypt(&OAEP_SHA1_MGF1SHA1, text, &mut out, None).ok()?.len();
    out.truncate(length);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Said;

    fn greeting(plugin: &[u8]) -> Vec<u8> {
        let mut packet = b"\x0a8.4.0\0\x01\0\0\x0012345678\0".to_vec();
        packet.extend([0xff, 0xff, 45, 2, 0, 0xff, 0xdf, 21]);
        packet.extend([0; 10]);
        packet.extend(b"901234567890\0");
        packet.extend(plugin);
        packet
    }

    #[test]
    fn greetings() {
        let whole = greeting(b"caching_sha2_password\0");
        let expect = Greeting {
            capabilities: 0xdfff_ffff,
            nonce: b"12345678901234567890".to_vec(),
            plugin: Some(Plugin::CachingSha2),
        };
        assert_eq!(Greeting::parse(&whole), Some(expect));
        for end in 0..greeting(b"").len() {
            assert_eq!(Greeting::parse(&whole[..end]), None);
        }
        assert_eq!(Greeting::parse(&greeting(b"sha256_password")).and_then(|greeting| greeting.plugin), None);
    }
    /// What `password('G!ider27')` and the C library make of it.
    #[test]
    fn proofs() {
        let nonce = b"NR3HP:qIYa_9=db?Sd{`";
        let native = Plugin::Native.proof("G!ider27", nonce);
        assert_eq!(
            native,
            b"\x09\xcf\xf8\x85\x5e\x9e\x70\x53\x40\xff\x22\x70\xd8\xfb\x9f\xad\xba\x90\x6b\x70"
        );
        let sha2 = Plugin::CachingSha2.proof("G!ider27", nonce);
        assert_eq!(sha2.len(), 32);
        assert_eq!(sha2.get(..8), Some(&b"\x4f\x97\xbb\xfd\x20\x24\x01\xc4"[..]));
        assert_eq!(Plugin::CachingSha2.proof("", nonce), b"");
    }

    fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[length, 0, 0, number], payload].concat()
    }

    /// Logs in to a server that says this behind its greeting; gives what it heard.
    fn log_in(said: &[&[u8]], is_private: bool) -> (Result<(), String>, Vec<u8>) {
        let mut bytes = packet(0, &greeting(b"caching_sha2_password\0"));
        for (number, said) in (2..).step_by(2).zip(said) {
            bytes.extend(packet(number, said));
        }
        let stream = Said::new(&bytes);
        let heard = stream.heard.clone();
        let login = Login { user: "u", password: "s3cr3t", database: "d", tls: None, is_private };
        let done = login.run(Wire::new(Box::new(stream))).map(drop).map_err(|failure| failure.to_string());
        let heard = heard.lock().unwrap().clone();
        (done, heard)
    }

    fn tells(heard: &[u8]) -> bool {
        heard.windows(6).any(|part| part == b"s3cr3t")
    }

    #[test]
    fn a_password_is_told_to_nobody_who_could_be_listened_to() {
        let (done, heard) = log_in(&[b"\x01\x04", b"\0\0\0\x02\0\0\0"], true);
        assert_eq!(done, Ok(()));
        assert!(tells(&heard));
        // Without TLS there has to be a key.
        let (done, heard) = log_in(&[b"\x01\x04", b"\x01no key"], false);
        assert_eq!(done, Err("The server's key cannot be used".into()));
        assert!(!tells(&heard));
        for name in ["mysql_clear_password", "dialog", "sha256_password", ""] {
            let switch = [&b"\xfe"[..], name.as_bytes(), b"\0abcdefghijklmnopqrst\0"].concat();
            let (done, heard) = log_in(&[&switch, b"\0\0\0\x02\0\0\0"], true);
            assert_eq!(done, Err(format!("Authentication plugin '{name}' is not supported")));
            assert!(!tells(&heard));
        }
        assert_eq!(log_in(&[b"\xfe"], true).0, Err("The server asks for an outdated authentication".into()));
    }

    #[test]
    fn a_server_may_want_another_proof() {
        let switch = b"\xfemysql_native_password\0abcdefghijklmnopqrst\0";
        let (done, heard) = log_in(&[switch, b"\0\0\0\x02\0\0\0"], false);
        assert_eq!(done, Ok(()));
        assert!(heard.ends_with(&Plugin::Native.proof("s3cr3t", b"abcdefghijklmnopqrst")));
    }

    /// A key that RSA can use encrypts what the server can read.
    #[test]
    fn keys() {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = private.public_key().as_der().unwrap();
        let body = crate::http::base64(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        let encrypted = encrypt(pem.as_bytes(), b"secret\0").unwrap();
        let mut out = vec![0; encrypted.len()];
        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let text = private.decrypt(&OAEP_SHA1_MGF1SHA1, &encrypted, &mut out, None).unwrap();
        assert_eq!(text, b"secret\0");
        // It has a limit, and a password may be longer.
        assert_eq!(encrypt(pem.as_bytes(), &[b'x'; 300]), None);
        assert_eq!(encrypt(b"-----BEGIN PUBLIC KEY-----\n", b""), None);
    }
}

//! The clients' side of SASL mechanisms, written after the RFCs and not after our server, which it is to
//! test.

use md5::{Digest, Md5};
use sasl::encoding::hex;
pub use sasl::encoding::{base64, from_base64};
use sha1::Sha1;
use sha2::Sha256;

/// HMAC (RFC 2104) with a hash whose blocks have 64 bytes, for keys up to a block.
fn hmac<D: Digest>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect::<Vec<u8>>();
    let inner = D::new().chain_update(padded(0x36)).chain_update(message).finalize();
    D::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

/// The response to a CRAM-MD5 challenge (RFC 2195).
pub fn cram_md5(challenge: &[u8], user: &str, password: &str) -> Vec<u8> {
    format!("{user} {}", hex(&hmac::<Md5>(password.as_bytes(), challenge))).into_bytes()
}

/// The digest for APOP, by the server's greeting (RFC 1939 §7).
pub fn apop(greeting: &str, password: &str) -> String {
    let start = greeting.find('<').expect("a challenge");
    let end = greeting.find('>').expect("a challenge");
    hex(&Md5::digest(format!("{}{password}", &greeting[start..=end])))
}

/// Who logs in by DIGEST-MD5.
#[derive(Debug, Clone, Copy, Default)]
pub struct DigestUser<'a> {
    /// The name.
    pub user: &'a str,
    /// The realm chosen.
    pub realm: Option<&'a str>,
    /// The password.
    pub password: &'a str,
    /// Who to be.
    pub authzid: Option<&'a str>,
}

/// The response to a DIGEST-MD5 challenge (RFC 2831 §2.1.2), and the `rspauth` to expect.
pub fn digest_md5(challenge: &[u8], who: &DigestUser<'_>) -> (Vec<u8>, String) {
    const URI: &str = "imap/localhost";
    let challenge = String::from_utf8_lossy(challenge);
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
    let DigestUser { user, realm, password, authzid } = *who;
    let secret = Md5::digest(format!("{user}:{}:{password}", realm.unwrap_or_default()));
    let mut a1 = [&secret[..], format!(":{nonce}:cnonce").as_bytes()].concat();
    if let Some(authzid) = authzid {
        a1.extend(format!(":{authzid}").bytes());
    }
    let a1 = hex(&Md5::digest(a1));
    let response = |method: &str| {
        let a2 = hex(&Md5::digest(format!("{method}:{URI}")));
        hex(&Md5::digest(format!("{a1}:{nonce}:00000001:cnonce:auth:{a2}")))
    };
    let mut message = format!(
        "charset=utf-8,username=\"{user}\",nonce=\"{nonce}\",nc=00000001,cnonce=\"cnonce\",digest-uri=\"{URI}\",\
         response={},qop=auth",
        response("AUTHENTICATE")
    );
    if let Some(realm) = realm {
        message.push_str(&format!(",realm=\"{realm}\""));
    }
    if let Some(authzid) = authzid {
        message.push_str(&format!(",authzid=\"{authzid}\""));
    }
    (message.into_bytes(), format!("rspauth={}", response("")))
}

/// A login by SCRAM (RFC 5802).
#[derive(Debug, Clone)]
pub struct Scram<'a> {
    /// `SCRAM-SHA-1` or `SCRAM-SHA-256`, with or without `-PLUS`.
    pub mechanism: &'a str,
    /// The name.
    pub user: &'a str,
    /// The password, at most 64 bytes of it.
    pub password: &'a str,
    /// `n,,` and the like.
    pub header: &'a str,
    /// The data of the channel binding that the header names.
    pub binding: Vec<u8>,
}

impl<'a> Scram<'a> {
    /// Without channel binding.
    pub fn new(mechanism: &'a str, user: &'a str, password: &'a str) -> Self {
        Self { mechanism, user, password, header: "n,,", binding: Vec::new() }
    }

    /// The first message.
    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.header, self.bare()).into_bytes()
    }

    fn bare(&self) -> String {
        let user = self.user.replace('=', "=3D").replace(',', "=2C");
        format!("n={user},r=rOprNGfwEbeRWgbNEkqO")
    }

    /// The final message, and the server's to expect.
    pub fn last(&self, server_first: &[u8]) -> (Vec<u8>, String) {
        match self.mechanism.contains("256") {
            true => self.last_with::<Sha256>(server_first),
            false => self.last_with::<Sha1>(server_first),
        }
    }

    fn last_with<D: Digest>(&self, server_first: &[u8]) -> (Vec<u8>, String) {
        let server_first = String::from_utf8_lossy(server_first);
        let field = |name: &str| server_first.split(',').find_map(|field| field.strip_prefix(name));
        let salt = from_base64(field("s=").expect("a salt").as_bytes()).expect("base64");
        let rounds: u32 = field("i=").expect("a count").parse().expect("a number");
        let mut block = hmac::<D>(self.password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
        let mut salted = block.clone();
        for _ in 1..rounds {
            block = hmac::<D>(self.password.as_bytes(), &block);
            salted.iter_mut().zip(&block).for_each(|(key, byte)| *key ^= byte);
        }
        let input = base64(&[self.header.as_bytes(), &self.binding].concat());
        let unproved = format!("c={input},r={}", field("r=").expect("a nonce"));
        let signed = format!("{},{server_first},{unproved}", self.bare());
        let mut proof = hmac::<D>(&salted, b"Client Key");
        let signature = hmac::<D>(&D::digest(&proof), signed.as_bytes());
        proof.iter_mut().zip(signature).for_each(|(key, byte)| *key ^= byte);
        let server = hmac::<D>(&hmac::<D>(&salted, b"Server Key"), signed.as_bytes());
        (format!("{unproved},p={}", base64(&proof)).into_bytes(), format!("v={}", base64(&server)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfcs() {
        let response = cram_md5(b"<1896.697170952@postoffice.reston.mci.net>", "tim", "tanstaaftanstaaf");
        assert_eq!(response, b"tim b913a602c7eda7a495b4e6e7334d3890");
        let digest = apop("+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>", "tanstaaf");
        assert_eq!(digest, "c4c9334bac560ecc979e58001b3e22fb");
        let scram = Scram::new("SCRAM-SHA-256", "user", "pencil");
        let first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, verifier) = scram.last(first);
        assert!(last.ends_with(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(verifier, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}

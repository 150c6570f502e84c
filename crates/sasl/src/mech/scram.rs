//! SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677): both sides prove that they know the password,
//! which never crosses the wire. The -PLUS forms also prove that both have the same TLS session.

use std::marker::PhantomData;

use hmac::{KeyInit, Mac};
use sha2::Digest;
use zeroize::Zeroize;

use super::{
    Answer, Bindings, Context, Identity, Mechanism, MechanismInfo, Need, Property, Refusal, Step, text,
    unescape_name,
};
use crate::encoding::{base64, from_base64};
use crate::scheme::scram::{ScramSecret, Sha1, Sha256, Variant};
use crate::secret::constant_time_eq;

pub(super) const SHA1: MechanismInfo = info("SCRAM-SHA-1", &[Property::MutualAuth], Scram::<Sha1>::begin);
pub(super) const SHA1_PLUS: MechanismInfo = info("SCRAM-SHA-1-PLUS", BOUND, Scram::<Sha1>::begin_bound);
pub(super) const SHA256: MechanismInfo =
    info("SCRAM-SHA-256", &[Property::MutualAuth], Scram::<Sha256>::begin);
pub(super) const SHA256_PLUS: MechanismInfo = info("SCRAM-SHA-256-PLUS", BOUND, Scram::<Sha256>::begin_bound);

const BOUND: &[Property] = &[Property::MutualAuth, Property::ChannelBinding];

/// Random bytes of the server's part of the nonce: 64 characters, as many as 2.3 sends.
const NONCE_BYTES: usize = 48;

const fn info(
    name: &'static str,
    properties: &'static [Property],
    begin: fn(&mut Context<'_>) -> Box<dyn Mechanism>,
) -> MechanismInfo {
    MechanismInfo { name, properties, need: Need::Lookup, begin }
}

struct Scram<V> {
    state: State,
    is_bound: bool,
    variant: PhantomData<fn() -> V>,
}

enum State {
    AwaitFirst { nonce: String, bindings: Bindings },
    AwaitSecret(First),
    AwaitFinal { first: First, server_first: String, secret: ScramSecret },
    Done,
}

/// What the client's first message leaves behind.
struct First {
    /// What the final message must give back as its channel binding.
    binding: Vec<u8>,
    /// The message without the GS2 header.
    bare: String,
    /// The client's part and ours.
    nonce: String,
}

impl<V: Variant + 'static> Scram<V> {
    fn begin(context: &mut Context<'_>) -> Box<dyn Mechanism> {
        Self::boxed(context, false)
    }

    fn begin_bound(context: &mut Context<'_>) -> Box<dyn Mechanism> {
        Self::boxed(context, true)
    }

    fn boxed(context: &mut Context<'_>, is_bound: bool) -> Box<dyn Mechanism> {
        let mut random = [0; NONCE_BYTES];
        (context.random)(&mut random);
        // Base64 has no comma and needs no padding here.
        let state = State::AwaitFirst { nonce: base64(&random), bindings: context.bindings.clone() };
        Box::new(Self { state, is_bound, variant: PhantomData })
    }

    fn first(&self, data: &[u8], nonce: &str, bindings: &Bindings) -> Result<(First, Identity), Refusal> {
        let message = text(data)?;
        let missing = |which| Refusal::of(which);
        let (flag, rest) = message
            .split_once(',')
            .ok_or(missing("Invalid initial client message: Missing first ',' in GS2 header"))?;
        let (authzid, bare) = rest
            .split_once(',')
            .ok_or(missing("Invalid initial client message: Missing second ',' in GS2 header"))?;
        let mut fields = bare.split(',');
        let (Some(username), Some(client_nonce)) = (fields.next(), fields.next()) else {
            return Err(missing("Invalid initial client message: Missing nonce field"));
        };
        let header_len = message.len() - bare.len();
        let mut binding = data.get(..header_len).unwrap_or_default().to_vec();
        binding.extend(self.binding(flag, bindings)?);
        let login_user = match authzid.strip_prefix("a=") {
            Some(name) => Some(unescape_name(name).ok_or(Refusal::of("authzid escaping is invalid"))?),
            None if authzid.is_empty() => None,
            None => return Err(Refusal::of("Invalid authzid field")),
        };
        if username.starts_with('m') {
            return Err(Refusal::of("Mandatory extension(s) not supported"));
        }
        let user = username.strip_prefix("n=").ok_or(Refusal::of("Invalid username field"))?;
        let user = unescape_name(user).ok_or(Refusal::of("Username escaping is invalid"))?;
        let client_nonce = client_nonce.strip_prefix("r=").ok_or(Refusal::of("Invalid client nonce"))?;
        let login_user = login_user.map(|name| super::name(name.as_bytes())).transpose()?;
        let identity = Identity { user: super::name(user.as_bytes())?, login_user, realm: None };
        Ok((First { binding, bare: bare.to_owned(), nonce: format!("{client_nonce}{nonce}") }, identity))
    }

    /// What the client must have bound itself to, by its `gs2-cbind-flag`.
    fn binding(&self, flag: &str, bindings: &Bindings) -> Result<Vec<u8>, Refusal> {
        let unavailable = Refusal::of("Channel binding not supported");
        match (flag, self.is_bound) {
            ("n", false) => Ok(Vec::new()),
            // The client would have used a channel binding, but did not see that it was offered:
            // somebody in between wants it not to (RFC 5802 §6).
            ("y", false) if !bindings.is_empty() => {
                Err(Refusal::of("Channel binding was offered, but the client says it was not"))
            }
            ("y", false) => Ok(Vec::new()),
            ("n" | "y", true) => Err(Refusal::of("Channel binding required")),
            (flag, true) => match flag.strip_prefix("p=") {
                Some("tls-exporter") => bindings.exporter.clone().ok_or(unavailable),
                Some("tls-server-end-point") => bindings.end_point.clone().ok_or(unavailable),
                Some(_) => Err(unavailable),
                None => Err(Refusal::of("Invalid GS2 header")),
            },
            (flag, false) if flag.starts_with('p') => Err(unavailable),
            _ => Err(Refusal::of("Invalid GS2 header")),
        }
    }

    fn last(
        &self,
        data: &[u8],
        first: &First,
        server_first: &str,
        secret: &ScramSecret,
    ) -> Result<Vec<u8>, Refusal> {
        let message = text(data)?;
        let invalid = Refusal::of("Invalid final client message");
        let (unproved, proof) = message.rsplit_once(',').ok_or(invalid.clone())?;
        let mut fields = unproved.split(',');
        let (Some(binding), Some(nonce)) = (fields.next(), fields.next()) else { return Err(invalid) };
        let sent = binding.strip_prefix("c=").and_then(|text| from_base64(text.as_bytes()));
        if !sent.is_some_and(|sent| constant_time_eq(&sent, &first.binding)) {
            return Err(Refusal::of("Invalid channel binding data"));
        }
        if nonce.strip_prefix("r=") != Some(&first.nonce) {
            return Err(Refusal::of("Wrong nonce"));
        }
        let proof = proof.strip_prefix("p=").ok_or(Refusal::of("Invalid ClientProof"))?;
        let proof = from_base64(proof.as_bytes()).ok_or(Refusal::of("Invalid base64 encoding"))?;
        if proof.len() != <V as Digest>::output_size() {
            return Err(Refusal::of("Invalid ClientProof length"));
        }
        let signed = [&first.bare, ",", server_first, ",", unproved].concat();
        let mut client_key = mac::<V>(secret.stored_key.expose(), signed.as_bytes());
        client_key.iter_mut().zip(&proof).for_each(|(key, proof)| *key ^= proof);
        let stored_key = V::digest(&client_key);
        client_key.zeroize();
        if !constant_time_eq(&stored_key, secret.stored_key.expose()) {
            return Err(Refusal::Mismatch);
        }
        Ok(mac::<V>(secret.server_key.expose(), signed.as_bytes()))
    }
}

fn mac<V: Variant>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let keyed = <V::Mac as KeyInit>::new_from_slice(key).expect("HMAC takes any key");
    keyed.chain_update(message).finalize().into_bytes().to_vec()
}

impl<V: Variant + 'static> Mechanism for Scram<V> {
    fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match initial {
            Some(data) => self.respond(data),
            None => Step::Challenge(Vec::new()),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Done) {
            State::AwaitFirst { nonce, bindings } => match self.first(data, &nonce, &bindings) {
                Ok((first, identity)) => {
                    self.state = State::AwaitSecret(first);
                    Step::Lookup { identity, scheme: V::NAME }
                }
                Err(refusal) => Step::Fail(refusal),
            },
            State::AwaitFinal { first, server_first, secret } => {
                match self.last(data, &first, &server_first, &secret) {
                    Ok(signature) => Step::Success(format!("v={}", base64(&signature)).into_bytes()),
                    Err(refusal) => Step::Fail(refusal),
                }
            }
            State::AwaitSecret(_) | State::Done => Step::Fail(Refusal::Unexpected),
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        let first = match std::mem::replace(&mut self.state, State::Done) {
            State::AwaitSecret(first) => first,
            _ => return Step::Fail(Refusal::Unexpected),
        };
        let Answer::Credentials(Some(raw)) = answer else { return Step::Fail(Refusal::NotVerified) };
        let secret = match ScramSecret::parse::<V>(raw) {
            Ok(secret) => secret,
            Err(error) => return Step::Fail(Refusal::Message(error.to_string().into())),
        };
        let server_first = format!("r={},s={},i={}", first.nonce, secret.salt, secret.iterations);
        let challenge = server_first.clone().into_bytes();
        self.state = State::AwaitFinal { first, server_first, secret };
        Step::Challenge(challenge)
    }
}

#[cfg(test)]
mod tests;

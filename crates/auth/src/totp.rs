//! Second factors: where a passdb gives a field `totp_secret`, the last six digits of the password
//! are a one-time code (RFC 6238). Meant for master users; wherever it stands it is demanded.

use std::cell::RefCell;
use std::collections::HashMap;

use ipc::auth_worker::PassdbResult;
use sasl::Secret;
use sasl::totp::{DIGITS, Totp};

use crate::chain::Want;
use crate::request::Request;
use crate::request::fields::now_s;

/// The field's name.
pub(crate) const FIELD: &str = "totp_secret";

/// Which codes were used.
pub(crate) struct Codes {
    anvil: Option<service::Anvil>,
    /// Should anvil be away.
    used: RefCell<HashMap<String, u64>>,
}

impl Codes {
    pub(crate) fn new(anvil: Option<service::Anvil>) -> Self {
        Self { anvil, used: RefCell::default() }
    }

    /// What becomes of a passdb's result, where the user has to give a code.
    pub(crate) async fn check(&self, request: &Request, want: Want, result: PassdbResult) -> PassdbResult {
        // Somebody who has proved who it is already need not do so here.
        if result != PassdbResult::Ok || request.facts.skip_password_check {
            return result;
        }
        let Some(secret) = request.fields.find(FIELD) else { return result };
        match want {
            Want::Verify => self.verify(request, secret).await,
            // A lookup by an administrator or another server.
            Want::Credentials(_) if request.facts.mechanism.is_none() => result,
            Want::Credentials(_) => {
                request.info("The mechanism has no place for a one-time code");
                PassdbResult::SchemeNotAvailable
            }
        }
    }

    async fn verify(&self, request: &Request, secret: &str) -> PassdbResult {
        let Some(totp) = Totp::parse(secret) else {
            request.error("totp_secret is not base32, or too short");
            return PassdbResult::InternalFailure;
        };
        let Some(code) = &request.code else {
            request.info("Password mismatch (no one-time code)");
            return PassdbResult::PasswordMismatch;
        };
        let Some(step) = totp.check(&code.expose_lossy(), now_s()) else {
            request.info("Password mismatch (wrong one-time code)");
            return PassdbResult::PasswordMismatch;
        };
        if self.is_new(request.user(), step).await {
            return PassdbResult::Ok;
        }
        request.info("Password mismatch (one-time code was used before)");
        PassdbResult::PasswordMismatch
    }

    async fn is_new(&self, user: &str, step: u64) -> bool {
        let is_new_here = {
            let mut used = self.used.borrow_mut();
            let last = used.insert(user.to_owned(), step);
            let is_new = last.is_none_or(|last| step > last);
            if !is_new && let Some(last) = last {
                used.insert(user.to_owned(), last);
            }
            is_new
        };
        let known = match &self.anvil {
            Some(anvil) if is_new_here => anvil.once(user, step).await,
            _ => None,
        };
        is_new_here && known.unwrap_or(true)
    }
}

impl Request {
    /// Takes the code off the password, once it is known that there has to be one.
    pub(crate) fn split_code(&mut self) {
        if self.code.is_some() || self.facts.skip_password_check || !self.fields.has(FIELD) {
            return;
        }
        self.split_last_digits();
    }

    /// The same where the field is not set yet.
    pub(crate) fn split_last_digits(&mut self) {
        let Some(password) = &self.password else { return };
        let Some((rest, code)) = password.expose().split_last_chunk::<DIGITS>() else { return };
        if self.code.is_none() && code.iter().all(u8::is_ascii_digit) {
            let (rest, code) = (Secret::new(rest), Secret::new(code.as_slice()));
            (self.password, self.code) = (Some(rest), Some(code));
        }
    }

    /// Gives the password back its code, for the next passdb.
    pub(crate) fn join_code(&mut self) {
        if let (Some(password), Some(code)) = (&self.password, self.code.take()) {
            self.password = Some(Secret::new([password.expose(), code.expose()].concat()));
        }
    }
}

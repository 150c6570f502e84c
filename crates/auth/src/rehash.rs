//! `auth_rehash_scheme`: who logs in with a password whose hash is of an old kind gets a new one. The
//! login does not wait for it, and whatever fails, the old hash is still there.

use std::rc::Rc;

use sasl::Secret;
use sasl::scheme::{self, Params};

use crate::db::Passdb;
use crate::request::Request;
use crate::server::Auth;

/// A password that was right, and its outdated hash.
#[derive(Debug)]
pub(crate) struct Outdated {
    passdb: usize,
    /// As it was when the passdb was asked: a master user has another name now.
    request: Box<Request>,
    stored: Secret,
}

impl Outdated {
    /// After a passdb has found the password right.
    pub(crate) fn find(request: &Request, passdb: &Passdb) -> Option<Self> {
        let config = &request.config;
        if config.rehash_scheme.is_empty() || !passdb.can_replace() {
            return None;
        }
        let stored = request.stored.as_ref()?;
        let is_outdated = scheme::is_outdated(
            &stored.expose_lossy(),
            &passdb.default_scheme,
            &config.rehash_scheme,
            config.rehash_rounds,
        );
        if request.facts.skip_password_check || request.fields.has("nopassword") || !is_outdated {
            return None;
        }
        let mut twin = request.twin();
        twin.password.clone_from(&request.password);
        Some(Self { passdb: passdb.id, request: Box::new(twin), stored: stored.clone() })
    }
}

impl Auth {
    /// Begins to store a new hash, if the login asks for one.
    pub(crate) fn rehash(self: &Rc<Self>, request: &mut Request) {
        if let Some(outdated) = request.progress.outdated.take() {
            let auth = self.clone();
            tokio::task::spawn_local(async move { auth.store(outdated).await });
        }
    }

    async fn store(&self, outdated: Outdated) {
        let Outdated { passdb, request, stored } = outdated;
        let wanted = request.config.rehash_scheme.to_ascii_uppercase();
        let rounds = request.config.rehash_rounds;
        let password = request.password.clone().unwrap_or_default();
        let user = request.facts.original_user.clone().unwrap_or_default();
        let scheme_name = wanted.clone();
        let make = move || {
            let params = Params { user: &user, rounds };
            scheme::generate(password.expose(), &params, &scheme_name, &mut crate::random::fill)
        };
        let result = match self.hasher.run(&request, make).await {
            // The next login tries again.
            None => return,
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(hash)) => {
                let new = Secret::new(format!("{{{wanted}}}{hash}"));
                self.workers.rehash(&request, passdb, &stored, &new).await
            }
        };
        match result {
            Ok(true) => {
                request.info_as("rehash", format_args!("password is stored in {wanted} now"));
                if let Some(cache) = self.cache.borrow_mut().as_mut() {
                    cache.clear_users(&[request.user().to_owned()]);
                }
            }
            Ok(false) => request.debug_as("rehash", "another password is stored by now"),
            Err(error) => {
                let text = format!("the old hash stays: {error}");
                request.error_as("rehash", text);
            }
        }
    }
}

//! A request's way through the passdbs and userdbs: which is asked, what follows from its answer.

mod credentials;
mod passdb;
mod userdb;

pub(crate) use passdb::{Outcome, Want, lookup};

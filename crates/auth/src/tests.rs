//! Plays the client and master protocols against an auth process within the test, with workers on
//! threads instead of processes.

mod bench;
mod checkpassword;
mod cve;
mod dialogues;
mod imap;
mod ldap;
mod lua;
mod mechanisms;
mod mysql;
mod oauth2;
mod pam;
mod postgres;
mod proxy;
mod workers;

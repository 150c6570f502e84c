//! Plays the client and master protocols against an auth process within the test, with workers on
//! threads instead of processes.

mod app_password;
mod bench;
mod checkpassword;
mod cve;
mod databases;
mod dialogues;
mod imap;
mod judges;
mod ldap;
mod lua;
mod mechanisms;
mod mysql;
mod oauth2;
mod one_time;
mod pam;
mod policy;
mod postgres;
mod proxy;
mod rehash;
mod shadow;
mod totp;
mod workers;

//! Plays the client and master protocols against an auth process within the test, with workers on
//! threads instead of processes.

mod bench;
mod cve;
mod dialogues;
mod mechanisms;
mod mysql;
mod workers;

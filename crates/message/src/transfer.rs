//! Placeholder until its first function lands.

//! x
mod output;
mod ring;
mod source;
mod stamp;

//! `fifo_listener PATH {}` in a service: a pipe in the file system.

use super::roots::MASTER;
use crate::key::{Octal, Str};

settings! { FifoListener from 0;
    /// Path of the pipe, below `base_dir`, from the section.
    PATH: Str = "", MASTER;
    /// Mode of the pipe; 0 turns it off.
    MODE: Octal = "0600", MASTER;
    /// Owner; empty is root.
    USER: Str = "", MASTER;
    /// Group; empty is root's.
    GROUP: Str = "", MASTER;
}

//! What Culver's processes say to each other: one module per internal socket, one enum per
//! direction. The enum is the permission list: what it does not hold cannot be asked for, and a
//! frame that does not decode closes the connection.
//!
//! Nothing here does input or output. Descriptors travel beside a frame (SCM_RIGHTS); each message
//! says in its documentation which ones. These sockets are Culver's own and change without notice;
//! those that other programs use (`auth-client`, `auth-master`, …) are not here.

pub mod anvil;
pub mod auth_worker;
pub mod codec;
pub mod config;
pub mod connect;
pub mod control;
pub mod handover;
pub mod identity;
pub mod limits;
pub mod log;
pub mod master;

pub use codec::{Decoder, FrameError, encode};

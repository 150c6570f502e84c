//! The director.

use super::flags::*;
use super::roots::*;
use crate::key::{Size, Str, Time};

settings! { Root from super::doveadm::END;
    /// Character between user and master user.
    MASTER_USER_SEPARATOR: Str = "", DIRECTOR, NO_EFFECT_YET;
    /// Directors of the ring.
    DIRECTOR_SERVERS: Str = "", DIRECTOR, NO_EFFECT_YET;
    /// Backends.
    DIRECTOR_MAIL_SERVERS: Str = "", DIRECTOR, NO_EFFECT_YET;
    /// Template of what is hashed to choose a backend.
    DIRECTOR_USERNAME_HASH: Str = "%Lu", DIRECTOR | DOVEADM | LOGIN, NO_EFFECT_YET;
    /// Socket to ask before a user moves.
    DIRECTOR_FLUSH_SOCKET: Str = "", DIRECTOR, NO_EFFECT_YET;
    /// Idle time after which a director is pinged.
    DIRECTOR_PING_IDLE_TIMEOUT: Time = "30 secs", DIRECTOR, NO_EFFECT_YET;
    /// Longest wait for a pong.
    DIRECTOR_PING_MAX_TIMEOUT: Time = "1 mins", DIRECTOR, NO_EFFECT_YET;
    /// How long a user stays with a backend.
    DIRECTOR_USER_EXPIRE: Time = "15 mins", DIRECTOR, NO_EFFECT_YET;
    /// Wait before kicked users may come back.
    DIRECTOR_USER_KICK_DELAY: Time = "2 secs", DIRECTOR, NO_EFFECT_YET;
    /// Users moved at once.
    DIRECTOR_MAX_PARALLEL_MOVES: u64 = "100", DIRECTOR, NO_EFFECT_YET;
    /// Users kicked at once.
    DIRECTOR_MAX_PARALLEL_KICKS: u64 = "100", DIRECTOR, NO_EFFECT_YET;
    /// Output to buffer for another director.
    DIRECTOR_OUTPUT_BUFFER_SIZE: Size = "10 M", DIRECTOR, NO_EFFECT_YET;
}

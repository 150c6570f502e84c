//! `service NAME {}`: how the master runs a process.

use super::roots::MASTER;
use crate::key::{Size, Str, Time};

settings! { Service from 0;
    /// Name of the service, from the section.
    NAME: Str = "", MASTER;
    /// Protocol that must be in `protocols` for the service to run; empty runs it always.
    PROTOCOL: Str = "", MASTER;
    /// What the master does specially: `log`, `config`, `anvil`, `login`, `startup`, `worker`.
    TYPE: Str = "", MASTER;
    /// Program with its parameters, below `libexec_dir`.
    EXECUTABLE: Str = "", MASTER;
    /// User to run as; empty is root.
    USER: Str = "", MASTER;
    /// Group to run as; empty is the user's.
    GROUP: Str = "", MASTER;
    /// Further group that the process takes only when it needs it.
    PRIVILEGED_GROUP: Str = "", MASTER;
    /// Further groups, separated by commas.
    EXTRA_GROUPS: Str = "", MASTER;
    /// Directory to chroot to, below `base_dir`.
    CHROOT: Str = "", MASTER;
    /// Drops rights before the program starts, which allows core dumps.
    DROP_PRIV_BEFORE_EXEC: bool = "no", MASTER;
    /// Processes to keep ready.
    PROCESS_MIN_AVAIL: u64 = "0", MASTER;
    /// Most processes; 0 means `default_process_limit`.
    PROCESS_LIMIT: u64 = "0", MASTER;
    /// Most clients of a process at once; 0 means `default_client_limit`.
    CLIENT_LIMIT: u64 = "0", MASTER;
    /// Clients a process serves before it ends; 0 for no limit.
    SERVICE_COUNT: u64 = "0", MASTER;
    /// How long an idle process lives on; 0 means `default_idle_kill`.
    IDLE_KILL: Time = "0", MASTER;
    /// Most address space of a process; the largest value means `default_vsz_limit`.
    VSZ_LIMIT: Size = "18446744073709551615 B", MASTER;
}

//! The mdbox driver.

use super::roots::*;
use crate::key::{Size, Time};

settings! { Root from super::mbox::END;
    /// Preallocates storage files.
    MDBOX_PREALLOCATE_SPACE: bool = "no", MDBOX;
    /// Largest storage file.
    MDBOX_ROTATE_SIZE: Size = "10 M", MDBOX;
    /// Oldest storage file that is appended to.
    MDBOX_ROTATE_INTERVAL: Time = "0", MDBOX;
}

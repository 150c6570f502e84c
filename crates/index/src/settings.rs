//! The settings that index files obey.

/// `mail_fsync`: when written mail is forced to disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FsyncMode {
    /// Where losing data would lose mail: before a save or a delivery is acknowledged.
    #[default]
    Optimized,
    /// After every write.
    Always,
    /// Never.
    Never,
}

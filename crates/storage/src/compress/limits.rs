//! How much a compressed mail may ask for. All decoding is streaming, so that a mail that expands to
//! gigabytes costs time and no memory; these bound what the formats themselves keep.

/// Longest chunk in a Dovecot-LZ4 file, compressed or not, in bytes: 2.3's `ISTREAM_LZ4_CHUNK_SIZE`.
pub(super) const LZ4_CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// Most memory for an xz dictionary, in KiB: 2.3's `LZMA_MEMORY_LIMIT`.
pub(super) const XZ_MEMORY_KIB_MAX: u32 = 80 * 1024;
/// Largest zstd window as a power of two: libzstd's own default, which level 22 needs.
pub(super) const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// How much from the beginning of a decoded mail is kept, in bytes: seeking back into it, as readers
/// of headers and MIME parts do, does not start from the beginning again.
pub(super) const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Bytes decoded at a time.
pub(super) const STEP_BYTES: usize = 32 * 1024;

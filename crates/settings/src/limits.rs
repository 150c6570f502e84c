//! Bounds on what a configuration may hold, so that a wrong file costs an error, not a machine.
//! 2.3 has none of them; each is far above what real configurations need.

/// Bytes in one line, continuation lines included. Keys and certificates come by `<file`.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Bytes in one configuration file or file read by `<`. Certificate bundles stay below 1 MiB.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// Files that include one another. Debian's tree has a depth of 2.
pub const INCLUDE_DEPTH_MAX: usize = 64;

/// Files included in all, so that a file that includes thousands cannot be multiplied.
pub const INCLUDES_MAX: usize = 10_000;

/// Sections inside sections. Filters take 4 levels, sections 3.
pub const SECTION_DEPTH_MAX: usize = 32;

/// Settings in all, in sections and out of them. Large SNI setups have one section per domain.
pub const SETTINGS_MAX: usize = 1_000_000;

/// Sections in all.
pub const SECTIONS_MAX: usize = 200_000;

/// Filters (`protocol`, `local`, `local_name`, `remote`), each of which is compared with each
/// login's addresses.
pub const FILTERS_MAX: usize = 50_000;

/// Views that are kept for reuse; beyond this the cache starts anew.
pub const CACHED_VIEWS_MAX: usize = 256;

/// Bytes that expanding `%` variables may produce from one template.
pub const EXPANSION_BYTES_MAX: usize = 1 << 20;

/// Levels of `%{if}` and hashes inside one another.
pub const EXPANSION_DEPTH_MAX: usize = 16;

/// Bytes of a serialised snapshot that are accepted.
pub const SNAPSHOT_BYTES_MAX: usize = 256 << 20;

//! What the fuzz targets do, as ordinary functions: `fuzz/` gives them to libFuzzer, and the tests here
//! feed each of them with its seeds and with seeds that were damaged, so that every run of the tests
//! sees whether they still build, and whether they hold what they promise.
//!
//! A target is fine when whatever it is fed neither panics nor hangs nor eats memory.

mod kit;
#[cfg(test)]
mod mutation;
mod session;
#[cfg(test)]
mod smoke;
mod targets;

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("Feeds `targets/", stringify!($name), ".rs`.")]
            pub fn $name(data: &[u8]) {
                targets::$name::run(data);
            }
        )*

        /// The names of all targets.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        #[cfg(test)]
        mod tests {
            $(
                #[test]
                fn $name() {
                    crate::smoke::feed(stringify!($name), crate::$name);
                }
            )*
        }
    };
}

targets! {
    attachment_refs
    auth_databases
    auth_files
    auth_master_lines
    auth_protocols
    auth_worker
    backplane_sockets
    client_arrival
    compressed
    credentials_files
    dbox_file
    dbox_storage
    dict_answers
    doveadm_auth
    doveadm_server
    dsync_server
    imap_command
    imap_passdb_answers
    imap_session
    index_cache
    index_files
    ipc_frames
    ldap_answers
    list_index
    login_backend
    login_sasl
    mailbox_log
    maildir_storage
    mbox_parts
    mbox_storage
    message
    message_fields
    password_scheme
    pop3_session
    sasl
    search_query
    settings_snapshot
    settings_text
    smtp_answers
    sql_answers
    stored_parts
    thread_sort
    web_answers
}

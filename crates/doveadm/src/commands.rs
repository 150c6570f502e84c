//! Every command: those that there are, and the names of those that come later.

use crate::cmd;
use crate::later::{LATER, LATER_PLUGINS};
use crate::mail_commands::MAIL_COMMANDS;
use crate::spec::{Command, Kind, argument, option};

/// The commands that are not on mail.
static COMMANDS: &[Command] = &[
    Command {
        name: "auth test",
        usage: "[-a <auth socket path>] [-x <auth info>] [-M <master user>] <user> [<password>]",
        about: "Authenticates a user",
        params: &[
            option('a', "socket-path", Kind::Text, "Auth client socket to use instead of auth-client"),
            option('x', "auth-info", Kind::List, "What to tell about the client, as key=value"),
            option('M', "master-user", Kind::Text, "Log in as this master user on behalf of the user"),
            argument("user", Kind::Text, "The user"),
            argument("password", Kind::Text, "The password; asked for when left out"),
        ],
        takes_all: false,
        run: cmd::auth::test,
    },
    Command {
        name: "auth login",
        usage: "[-a <auth-login socket path>] [-m <auth-master socket path>] [-x <auth info>] [-M <master user>] <user> [<password>]",
        about: "Authenticates a user and looks up what a mail process would get",
        params: &[
            option(
                'a',
                "auth-login-socket-path",
                Kind::Text,
                "Auth client socket to use instead of auth-login",
            ),
            option(
                'm',
                "auth-master-socket-path",
                Kind::Text,
                "Auth master socket to use instead of auth-master",
            ),
            option('x', "auth-info", Kind::List, "What to tell about the client, as key=value"),
            option('M', "master-user", Kind::Text, "Log in as this master user on behalf of the user"),
            argument("user", Kind::Text, "The user"),
            argument("password", Kind::Text, "The password; asked for when left out"),
        ],
        takes_all: false,
        run: cmd::auth::login,
    },
    Command {
        name: "auth lookup",
        usage: "[-a <userdb socket path>] [-x <auth info>] [-f field] <user> [<user> [...]]",
        about: "Looks up users in the passdbs",
        params: &[
            option('a', "socket-path", Kind::Text, "Auth socket to use instead of auth_socket_path"),
            option('x', "auth-info", Kind::List, "What to tell about the client, as key=value"),
            option('f', "field", Kind::Text, "Shows this field's value only"),
            argument("user", Kind::List, "The users"),
        ],
        takes_all: false,
        run: cmd::auth::lookup,
    },
    Command {
        name: "auth cache flush",
        usage: "[-a <master socket path>] [<user> [...]]",
        about: "Forgets cached authentication results, all or those of some users",
        params: &[
            option('a', "socket-path", Kind::Text, "Auth socket to use instead of auth-master"),
            argument("user", Kind::List, "The users; all when left out"),
        ],
        takes_all: false,
        run: cmd::auth::cache_flush,
    },
    Command {
        name: "auth app-password add",
        usage: "[-e <expires>] [-s <scope>] <user> <name>",
        about: "Makes a password of the user's for one program, and shows it",
        params: &[
            option(
                'e',
                "expires",
                Kind::Text,
                "When it ends: \"30 days\" from now, or a date; never when left out",
            ),
            option(
                's',
                "scope",
                Kind::List,
                "Services that it is for: imap, pop3, smtp, sieve; all when left out",
            ),
            argument("user", Kind::Text, "The user"),
            argument("name", Kind::Text, "What to call it"),
        ],
        takes_all: false,
        run: cmd::app_password::add,
    },
    Command {
        name: "auth app-password list",
        usage: "<user>",
        about: "Shows which application passwords a user has",
        params: &[argument("user", Kind::Text, "The user")],
        takes_all: false,
        run: cmd::app_password::list,
    },
    Command {
        name: "auth app-password remove",
        usage: "<user> <name> [<name> [...]]",
        about: "Revokes application passwords",
        params: &[argument("user", Kind::Text, "The user"), argument("name", Kind::List, "Which")],
        takes_all: false,
        run: cmd::app_password::remove,
    },
    Command {
        name: "auth cache status",
        usage: "[-a <master socket path>]",
        about: "Shows how well the authentication cache does",
        params: &[option('a', "socket-path", Kind::Text, "Auth socket to use instead of auth-master")],
        takes_all: false,
        run: cmd::auth::cache_status,
    },
    Command {
        name: "ban add",
        usage: "[-a <anvil socket path>] [-t <time>] <user>|<ip/bits> [<reason>]",
        about: "Lets a user or a network not log in for a while",
        params: &[
            option('a', "socket-path", Kind::Text, "Anvil socket to use instead of anvil"),
            option('t', "time", Kind::Text, "How long, like \"2 days\"; an hour when left out"),
            argument("subject", Kind::Text, "The user, or the network"),
            argument("reason", Kind::Text, "Why, for the list and the log"),
        ],
        takes_all: false,
        run: cmd::ban::add,
    },
    Command {
        name: "ban list",
        usage: "[-a <anvil socket path>] [<user mask>] [<ip/bits>]",
        about: "Shows who may not log in because of failed logins",
        params: &[
            option('a', "socket-path", Kind::Text, "Anvil socket to use instead of anvil"),
            argument("mask", Kind::List, "User name with wildcards, or network"),
        ],
        takes_all: false,
        run: cmd::ban::list,
    },
    Command {
        name: "ban remove",
        usage: "[-a <anvil socket path>] [-A] [<user>|<ip/bits> [...]]",
        about: "Lets banned users and networks log in again",
        params: &[
            option('a', "socket-path", Kind::Text, "Anvil socket to use instead of anvil"),
            option('A', "all", Kind::Flag, "All bans"),
            argument("subject", Kind::List, "The users and networks"),
        ],
        takes_all: false,
        run: cmd::ban::remove,
    },
    Command {
        name: "config",
        usage: "[doveconf parameters]",
        about: "Shows the configuration, see doveconf(1)",
        params: &[argument("args", Kind::List, "Options and arguments of doveconf")],
        takes_all: true,
        run: cmd::config::config,
    },
    Command {
        name: "dict get",
        usage: "[-u <user>] <dict uri> <key>",
        about: "Shows the value of a key in a dictionary",
        params: &[
            option('u', "user", Kind::Text, "Whose private keys are meant"),
            argument("dict-uri", Kind::Text, "The dictionary, such as file:/path or proxy::name"),
            argument("key", Kind::Text, "The key, which begins with shared/ or priv/"),
        ],
        takes_all: false,
        run: cmd::dict::get,
    },
    Command {
        name: "dict inc",
        usage: "[-u <user>] <dict uri> <key> <diff>",
        about: "Adds to a number in a dictionary",
        params: &[
            option('u', "user", Kind::Text, "Whose private keys are meant"),
            argument("dict-uri", Kind::Text, "The dictionary, such as file:/path or proxy::name"),
            argument("key", Kind::Text, "The key, which begins with shared/ or priv/"),
            argument("difference", Kind::Number, "What to add; may be negative"),
        ],
        takes_all: false,
        run: cmd::dict::inc,
    },
    Command {
        name: "dict iter",
        usage: "[-u <user>] [-1RV] <dict uri> <prefix>",
        about: "Lists keys of a dictionary",
        params: &[
            option('u', "user", Kind::Text, "Whose private keys are meant"),
            option('1', "exact", Kind::Flag, "This key only"),
            option('R', "recurse", Kind::Flag, "Also what is further below"),
            option('V', "no-value", Kind::Flag, "Without the values"),
            argument("dict-uri", Kind::Text, "The dictionary, such as file:/path or proxy::name"),
            argument("prefix", Kind::Text, "What the keys begin with"),
        ],
        takes_all: false,
        run: cmd::dict::iter,
    },
    Command {
        name: "dict set",
        usage: "[-u <user>] <dict uri> <key> <value>",
        about: "Sets a key in a dictionary",
        params: &[
            option('u', "user", Kind::Text, "Whose private keys are meant"),
            argument("dict-uri", Kind::Text, "The dictionary, such as file:/path or proxy::name"),
            argument("key", Kind::Text, "The key, which begins with shared/ or priv/"),
            argument("value", Kind::Text, "Its new value"),
        ],
        takes_all: false,
        run: cmd::dict::set,
    },
    Command {
        name: "dict unset",
        usage: "[-u <user>] <dict uri> <key>",
        about: "Removes a key from a dictionary",
        params: &[
            option('u', "user", Kind::Text, "Whose private keys are meant"),
            argument("dict-uri", Kind::Text, "The dictionary, such as file:/path or proxy::name"),
            argument("key", Kind::Text, "The key, which begins with shared/ or priv/"),
        ],
        takes_all: false,
        run: cmd::dict::unset,
    },
    Command {
        name: "dump",
        usage: "[-t <type>] <path> [<type-specific args>]",
        about: "Shows what is in a file of the mail formats",
        params: &[
            option('t', "type", Kind::Text, "The type; found out when left out"),
            argument("path", Kind::Text, "The file"),
            argument("args", Kind::List, "What the type wants to know"),
        ],
        takes_all: false,
        run: cmd::dump::dump,
    },
    Command {
        name: "exec",
        usage: "<binary> [binary parameters]",
        about: "Executes a program of libexec_dir",
        params: &[
            argument("binary", Kind::Text, "The program"),
            argument("args", Kind::List, "Its options and arguments"),
        ],
        takes_all: true,
        run: cmd::exec::exec,
    },
    Command {
        name: "help",
        usage: "[<cmd>]",
        about: "Shows all commands, or the manual page of one",
        params: &[argument("cmd", Kind::Text, "The command")],
        takes_all: false,
        run: cmd::help::help,
    },
    Command {
        name: "instance list",
        usage: "[-c] [<name>]",
        about: "Lists the instances that have run on this host",
        params: &[
            option('c', "show-config", Kind::Flag, "Shows the paths of their configuration files only"),
            argument("name", Kind::Text, "Only the instance of this name"),
        ],
        takes_all: false,
        run: cmd::instance::list,
    },
    Command {
        name: "instance remove",
        usage: "<name> | <base dir>",
        about: "Takes an instance out of the list",
        params: &[argument("name", Kind::Text, "Its name or base directory")],
        takes_all: false,
        run: cmd::instance::remove,
    },
    Command {
        name: "kick",
        usage: "[-a <anvil socket path>] <user mask>[|]<ip/bits>",
        about: "Ends the sessions of users",
        params: &[
            option('a', "socket-path", Kind::Text, "Anvil socket to use instead of anvil"),
            option(
                'f',
                "force",
                Kind::Flag,
                "Accepted for 2.3's sake: here sessions end one by one, never others of their process",
            ),
            argument("mask", Kind::List, "User name with wildcards, or network"),
        ],
        takes_all: false,
        run: cmd::kick::kick,
    },
    Command {
        name: "log errors",
        usage: "[-s <min_timestamp>]",
        about: "Shows the last warnings and errors",
        params: &[option(
            's',
            "since",
            Kind::Number,
            "Only those at or after this time, in seconds since 1970",
        )],
        takes_all: false,
        run: cmd::log::errors,
    },
    Command {
        name: "log find",
        usage: "[<dir>]",
        about: "Shows which files the log goes to",
        params: &[argument("log-dir", Kind::Text, "Where syslog's files are; /var/log by default")],
        takes_all: false,
        run: cmd::log::find,
    },
    Command {
        name: "log reopen",
        usage: "",
        about: "Makes the running instance open its log files anew",
        params: &[],
        takes_all: false,
        run: cmd::master::log_reopen,
    },
    Command {
        name: "log test",
        usage: "",
        about: "Writes a line of each level to the log",
        params: &[],
        takes_all: false,
        run: cmd::log::test,
    },
    Command {
        name: "mailbox mutf7",
        usage: "[-7|-8] <name> [...]",
        about: "Turns names into modified UTF-7, or back",
        params: &[
            option('7', "to-utf8", Kind::Flag, "From modified UTF-7 to UTF-8"),
            option('8', "from-utf8", Kind::Flag, "From UTF-8 to modified UTF-7, the default"),
            argument("name", Kind::List, "The names"),
        ],
        takes_all: false,
        run: cmd::mailbox::mutf7::mutf7,
    },
    Command {
        name: "penalty",
        usage: "[-a <anvil socket path>] [<ip/bits>]",
        about: "Shows which addresses keep failing to log in",
        params: &[
            option('a', "socket-path", Kind::Text, "Anvil socket to use instead of anvil"),
            argument("netmask", Kind::Text, "Only addresses of this network"),
        ],
        takes_all: false,
        run: cmd::penalty::penalty,
    },
    Command {
        name: "process status",
        usage: "[<service> [...]]",
        about: "Shows the running processes",
        params: &[argument("service", Kind::List, "Only those of these services")],
        takes_all: false,
        run: cmd::status::processes,
    },
    Command {
        name: "proxy kick",
        usage: cmd::proxy::KICK_USAGE,
        about: "Ends connections of clients that are proxied to another server",
        params: &[
            option('a', "socket-path", Kind::Text, "Anvil socket to use instead of anvil"),
            option('f', "passdb-field", Kind::Text, "The users are values of this field, user_..."),
            option('h', "host", Kind::Text, "Those to this server, and to those named as users"),
            argument("user", Kind::List, "The users' names"),
        ],
        takes_all: false,
        run: cmd::proxy::kick,
    },
    Command {
        name: "proxy list",
        usage: "[-a <ipc socket path>]",
        about: "Lists clients that are proxied to another server",
        params: &[option('a', "socket-path", Kind::Text, "Anvil socket to use instead of anvil")],
        takes_all: false,
        run: cmd::proxy::list,
    },
    Command {
        name: "pw",
        usage: "[-l] [-p plaintext] [-r rounds] [-s scheme] [-t hash] [-u user] [-V]",
        about: "Makes and checks password hashes",
        params: &[
            option('l', "list", Kind::Flag, "Lists the schemes"),
            option('p', "plaintext", Kind::Text, "The password; asked for when left out"),
            option('r', "rounds", Kind::Number, "Rounds or cost of the scheme"),
            option('s', "scheme", Kind::Text, "The scheme; CRYPT by default"),
            option('t', "test-hash", Kind::Text, "Checks the password against this hash"),
            option('u', "user", Kind::Text, "User name, which DIGEST-MD5 needs"),
            option('V', "reverse-verify", Kind::Flag, "Checks the password against the new hash"),
        ],
        takes_all: false,
        run: cmd::pw::pw,
    },
    Command {
        name: "reload",
        usage: "",
        about: "Makes the running instance read its configuration anew",
        params: &[],
        takes_all: false,
        run: cmd::master::reload,
    },
    Command {
        name: "service status",
        usage: "[<service> [...]]",
        about: "Shows the services and their figures",
        params: &[argument("service", Kind::List, "Only these")],
        takes_all: false,
        run: cmd::status::services,
    },
    Command {
        name: "service stop",
        usage: "<service> [<service> [...]]",
        about: "Stops services until the next reload",
        params: &[argument("service", Kind::List, "The services")],
        takes_all: false,
        run: cmd::status::stop_services,
    },
    Command {
        name: "stop",
        usage: "",
        about: "Stops the running instance",
        params: &[],
        takes_all: false,
        run: cmd::master::stop,
    },
    Command {
        name: "user",
        usage: "[-a <userdb socket path>] [-x <auth info>] [-f field] [-e <value>] [-u] <user mask> [<user mask> [...]]",
        about: "Looks up users, or lists those that match masks",
        params: &[
            option('a', "socket-path", Kind::Text, "Auth socket to use instead of auth_socket_path"),
            option('x', "auth-info", Kind::List, "What to tell about the client, as key=value"),
            option('f', "field", Kind::Text, "Shows this field's value only"),
            option('e', "expand-field", Kind::Text, "Shows this text with its variables replaced"),
            option('u', "userdb-only", Kind::Flag, "Shows what the userdbs say, without settings"),
            argument("user-mask", Kind::List, "Users, or masks with * and ?"),
        ],
        takes_all: false,
        run: cmd::user::user,
    },
    Command {
        name: "who",
        usage: "[-a <anvil socket path>] [-1] [<user mask>] [<ip/bits>]",
        about: "Shows who is logged in",
        params: &[
            option('a', "socket-path", Kind::Text, "Anvil socket to use instead of anvil"),
            option('1', "separate-connections", Kind::Flag, "A line for each session"),
            argument("mask", Kind::List, "User name with wildcards, or network"),
        ],
        takes_all: false,
        run: cmd::who::who,
    },
];

/// The commands that there are.
pub(crate) fn present() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().chain(MAIL_COMMANDS)
}

/// The command that `words` begin with, and the words after it.
pub(crate) fn find(words: &[String]) -> Option<(&'static Command, &[String])> {
    present().find_map(|command| {
        let rest = after(words, command.name)?;
        Some((command, rest))
    })
}

/// Whether it is one on mail.
pub(crate) fn is_on_mail(command: &Command) -> bool {
    MAIL_COMMANDS.iter().any(|one| one.name == command.name)
}

/// The name of the later command that `words` begin with.
pub(crate) fn find_later(words: &[String]) -> Option<&'static str> {
    let mut names = LATER.iter().map(|(name, _)| *name).chain(LATER_PLUGINS.iter().copied());
    names.find(|name| after(words, name).is_some())
}

/// Whether there are commands that consist of `word` and more.
pub(crate) fn is_group(word: &str) -> bool {
    all().any(|(name, _)| name.strip_prefix(word).is_some_and(|rest| rest.starts_with(' ')))
}

/// Name and usage of every command.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    present().map(|command| (command.name, command.usage)).chain(LATER.iter().copied())
}

fn after<'a>(words: &'a [String], name: &str) -> Option<&'a [String]> {
    let mut rest = words;
    for part in name.split(' ') {
        rest = rest.split_first().filter(|(word, _)| *word == part)?.1;
    }
    Some(rest)
}

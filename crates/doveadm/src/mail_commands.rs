//! The commands on mail, which share the options that say whose.

use crate::cmd;
use crate::spec::{Command, Kind, Param, argument, long, option};

/// The options that all of them have, and then their own.
macro_rules! params {
    ($($own:expr),* $(,)?) => {
        &[
            option('A', "all-users", Kind::Flag, "All users that the userdb lists"),
            option('S', "socket-path", Kind::Text, "Lets the doveadm server at this socket do it"),
            option('u', "user", Kind::Text, "This user, or those that fit a mask with * and ?"),
            option('F', "user-file", Kind::Text, "The users named in this file, a line each"),
            $($own),*
        ]
    };
}

const QUERY: Param = argument("query", Kind::List, "The search query, see doveadm-search-query(7)");
const MAILBOXES: Param = argument("mailbox", Kind::List, "The mailboxes");
const MASK: Param = argument("mailbox-mask", Kind::Text, "A name, or a mask with * and %");
const FLAG: Param = long("flag", Kind::List, "A flag, in place of the first argument");
const FLAGS: Param = argument("flagstr", Kind::Text, "Flags with spaces between them");
const MAILBOX: Param = argument("mailbox", Kind::Text, "The mailbox");
const KEY: Param = argument("key", Kind::Text, "The attribute: /private/... or /shared/...");
const SERVERS_ATTRIBUTES: Param =
    option('s', "allow-empty-mailbox-name", Kind::Flag, "An empty mailbox name is the server");
const SUBSCRIPTIONS: Param = option('s', "subscriptions", Kind::Flag, "The subscriptions, too");

/// Those of `sync` and `backup`.
const SYNC: &[Param] = params![
    option('1', "oneway", Kind::Flag, "Changes go one way only; what changed there stays"),
    option('f', "full-sync", Kind::Flag, "Compares also what seems to be the same"),
    option('R', "reverse", Kind::Flag, "The other way round"),
    option('P', "purge-remote", Kind::Flag, "Frees the space of expunged messages there afterwards"),
    option('m', "mailbox", Kind::List, "Only this mailbox"),
    option('g', "mailbox-guid", Kind::Text, "Only the mailbox with this GUID"),
    option('x', "exclude-mailbox", Kind::List, "Not these mailboxes: masks, or special uses"),
    option('n', "namespace", Kind::List, "The namespace with this prefix, in place of the one with INBOX"),
    option('l', "lock-timeout", Kind::Text, "Waits so many seconds for others that synchronize this user"),
    option('t', "sync-since-time", Kind::Text, "Only messages received since then"),
    option('e', "sync-until-time", Kind::Text, "Only messages received before then"),
    option('O', "sync-flags", Kind::Text, "Only messages with this flag, or with - before it without"),
    option('I', "sync-max-size", Kind::Text, "Only messages that are not larger"),
    option('T', "timeout", Kind::Text, "How many seconds the other end may be silent"),
    option('d', "default-destination", Kind::Flag, "The place is what the userdb says in mail_replica"),
    option('r', "rawlog", Kind::Text, "Keeps what goes over the line in this file"),
    option('N', "all-namespaces", Kind::Flag, "All namespaces that are visible"),
    option('a', "all-mailbox", Kind::Text, "Dovecot at the other end looks for missing messages there first"),
    option('s', "state", Kind::Text, "What was printed the last time; prints how things stand now"),
    option('U', "replicator-notify", Kind::Flag, "Whoever asks is the replicator; there is none to tell"),
    argument("destination", Kind::Command, "The place, as mail_location has it, or a command to run"),
];

/// A command on mail.
const fn mail(
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    params: &'static [Param],
    run: fn(&mut crate::context::Context, &crate::args::Args) -> crate::context::Outcome,
) -> Command {
    Command { name, usage, about, params, takes_all: false, run }
}

/// All of them.
pub(crate) static MAIL_COMMANDS: &[Command] = &[
    mail(
        "altmove",
        "[-u <user>|-A] [-S <socket_path>] [-r] <search query>",
        "Moves messages to the alternative storage",
        params![option('r', "reverse", Kind::Flag, "Moves them back"), QUERY],
        cmd::purge::altmove,
    ),
    mail(
        "backup",
        "[-fPRU] [-l <secs>] [-r <rawlog path>] [-m <mailbox>] [-g <mailbox guid>] [-n <namespace> | -N] [-x <exclude>] [-a <all mailbox>] [-s <state>] [-T <secs>] [-t <start date>] [-e <end date>] [-O <sync flag>] [-I <max size>] -d|<dest>",
        "Makes the mailboxes of another place the same as the user's",
        SYNC,
        cmd::sync::backup,
    ),
    mail(
        "batch",
        "<sep> <cmd1> [<sep> <cmd2> [..]]",
        "Does several commands on mail for each user",
        params![
            argument("separator", Kind::Text, "What stands between the commands"),
            argument("args", Kind::Command, "The commands with their arguments")
        ],
        cmd::batch::batch,
    ),
    mail(
        "copy",
        "[-u <user>|-A] [-S <socket_path>] <destination> [user <source user>] <search query>",
        "Copies messages into another mailbox",
        params![argument("destination-mailbox", Kind::Text, "The mailbox that gets them"), QUERY],
        cmd::copy::copy,
    ),
    mail(
        "deduplicate",
        "[-u <user>|-A] [-S <socket_path>] [-m] <search query>",
        "Removes messages that a mailbox has twice",
        params![option('m', "by-msgid", Kind::Flag, "Compares Message-IDs instead of GUIDs"), QUERY],
        cmd::deduplicate::deduplicate,
    ),
    mail(
        "dsync-server",
        "[-E] [-r <rawlog path>] [-T <timeout secs>] [-U]",
        "The other end of a sync or backup",
        params![
            option('E', "legacy-dsync", Kind::Flag, "Not yet"),
            option('r', "rawlog", Kind::Text, "Keeps what goes over the line in this file"),
            option('T', "timeout", Kind::Text, "How many seconds the other end may be silent"),
            option(
                'U',
                "replicator-notify",
                Kind::Flag,
                "Whoever asks is the replicator; there is none to tell"
            ),
        ],
        cmd::sync::serve,
    ),
    mail(
        "expunge",
        "[-u <user>|-A] [-S <socket_path>] [-m] <search query>",
        "Removes messages",
        params![
            option('d', "delete-empty-mailbox", Kind::Flag, "Deletes mailboxes that are empty then"),
            QUERY
        ],
        cmd::expunge::expunge,
    ),
    mail(
        "fetch",
        "[-u <user>|-A] [-S <socket_path>] <fields> <search query>",
        "Shows messages, or what is asked of them",
        params![
            long("field", Kind::List, "A field, in place of the first argument"),
            argument("fieldstr", Kind::Text, "Fields with spaces between them"),
            QUERY
        ],
        cmd::fetch::fetch,
    ),
    mail(
        "flags add",
        "[-u <user>|-A] [-S <socket_path>] <flags> <search query>",
        "Adds flags to messages",
        params![FLAG, FLAGS, QUERY],
        cmd::flags::add,
    ),
    mail(
        "flags remove",
        "[-u <user>|-A] [-S <socket_path>] <flags> <search query>",
        "Takes flags off messages",
        params![FLAG, FLAGS, QUERY],
        cmd::flags::remove,
    ),
    mail(
        "flags replace",
        "[-u <user>|-A] [-S <socket_path>] <flags> <search query>",
        "Sets the flags of messages",
        params![FLAG, FLAGS, QUERY],
        cmd::flags::replace,
    ),
    mail(
        "force-resync",
        "[-u <user>|-A] [-S <socket_path>] [-f] <mailbox mask>",
        "Looks at mailboxes anew and mends their indexes",
        params![option('f', "fsck", Kind::Flag, "Checks the index, too"), MASK],
        cmd::resync::force_resync,
    ),
    mail(
        "import",
        "[-u <user>|-A] [-S <socket_path>] [-U source-user] [-s] <source mail location> <dest parent mailbox> <search query>",
        "Copies messages from another place",
        params![
            option('U', "source-user", Kind::Text, "Whose place it is"),
            option('s', "subscribe", Kind::Flag, "Subscribes to the mailboxes"),
            argument("source-location", Kind::Text, "The place, as mail_location has it"),
            argument("dest-parent-mailbox", Kind::Text, "The mailbox that gets them below it"),
            QUERY
        ],
        cmd::import::import,
    ),
    mail(
        "index",
        "[-u <user>|-A] [-S <socket_path>] [-q] [-n <max recent>] <mailbox mask>",
        "Caches what clients will ask of messages",
        params![
            option('q', "queue", Kind::Flag, "Lets the indexer process do it"),
            option('n', "max-recent", Kind::Text, "Only mailboxes with no more new messages"),
            MASK
        ],
        cmd::index::index,
    ),
    mail(
        "mailbox cache decision",
        "[-u <user>|-A] [-S <socket_path>] [--all] [--fields <fields>] [--last-used <timestamp>] [--decision <decision>] <mailbox> [<mailbox> ...]",
        "Shows or changes what the cache keeps",
        params![
            option('a', "all", Kind::Flag, "All fields"),
            option('f', "fieldstr", Kind::Text, "These fields"),
            option('l', "last-used", Kind::Number, "Sets when they were last used, in seconds since 1970"),
            option('d', "decision", Kind::Text, "Sets the decision: yes, temp or no"),
            MAILBOXES
        ],
        cmd::mailbox::cache::decision,
    ),
    mail(
        "mailbox cache purge",
        "[-u <user>|-A] [-S <socket_path>] <mailbox> [<mailbox> ...]",
        "Writes caches anew without what nobody needs",
        params![MAILBOXES],
        cmd::mailbox::cache::purge,
    ),
    mail(
        "mailbox cache remove",
        "[-u <user>|-A] [-S <socket_path>] <search string>",
        "Forgets what is cached of messages",
        params![QUERY],
        cmd::mailbox::cache::remove,
    ),
    mail(
        "mailbox create",
        "[-u <user>|-A] [-S <socket_path>] [-s] [-g <guid>] <mailbox> [...]",
        "Creates mailboxes",
        params![SUBSCRIPTIONS, option('g', "guid", Kind::Text, "The mailbox's GUID"), MAILBOXES],
        cmd::mailbox::create::create,
    ),
    mail(
        "mailbox delete",
        "[-u <user>|-A] [-S <socket_path>] [-e] [-r] [-s] [-Z] <mailbox> [...]",
        "Deletes mailboxes",
        params![
            option('e', "require-empty", Kind::Flag, "Only if there are no messages"),
            SUBSCRIPTIONS,
            option('r', "recursive", Kind::Flag, "Those below them, too"),
            option(
                'Z',
                "unsafe",
                Kind::Flag,
                "Accepted for 2.3's sake: here all mail goes at once in any case"
            ),
            MAILBOXES
        ],
        cmd::mailbox::delete::delete,
    ),
    mail(
        "mailbox list",
        "[-u <user>|-A] [-S <socket_path>] [-7|-8] [-s] [<mailbox mask> [...]]",
        "Lists mailboxes",
        params![
            option('7', "mutf7", Kind::Flag, "Names in modified UTF-7"),
            option('8', "utf8", Kind::Flag, "Names in UTF-8"),
            option('s', "subscriptions", Kind::Flag, "Those subscribed to"),
            argument("mailbox-mask", Kind::List, "Names, or masks with * and %")
        ],
        cmd::mailbox::list::list,
    ),
    mail(
        "mailbox metadata get",
        "[-u <user>|-A] [-S <socket_path>] [-s] <mailbox> <key>",
        "Shows an attribute of a mailbox",
        params![SERVERS_ATTRIBUTES, MAILBOX, KEY],
        cmd::mailbox::metadata::get,
    ),
    mail(
        "mailbox metadata list",
        "[-u <user>|-A] [-S <socket_path>] [-s] [-p] <mailbox> [<key prefix>]",
        "Lists the attributes of a mailbox",
        params![
            SERVERS_ATTRIBUTES,
            option('p', "prepend-prefix", Kind::Flag, "Shows whole keys, with /private or /shared"),
            MAILBOX,
            argument("key-prefix", Kind::Text, "Only keys that begin so")
        ],
        cmd::mailbox::metadata::list,
    ),
    mail(
        "mailbox metadata set",
        "[-u <user>|-A] [-S <socket_path>] [-s] <mailbox> <key> <value>",
        "Gives an attribute of a mailbox a value",
        params![SERVERS_ATTRIBUTES, MAILBOX, KEY, argument("value", Kind::Text, "The value")],
        cmd::mailbox::metadata::set,
    ),
    mail(
        "mailbox metadata unset",
        "[-u <user>|-A] [-S <socket_path>] [-s] <mailbox> <key>",
        "Takes an attribute of a mailbox away",
        params![SERVERS_ATTRIBUTES, MAILBOX, KEY],
        cmd::mailbox::metadata::unset,
    ),
    mail(
        "mailbox path",
        "[-u <user>|-A] [-S <socket_path>] [-t <type>] <mailbox>",
        "Shows where on disk a mailbox is",
        params![
            MAILBOXES,
            option(
                't',
                "type",
                Kind::Text,
                "dir, alt-dir, mailbox, alt-mailbox, control, index or index-private"
            )
        ],
        cmd::mailbox::path::path,
    ),
    mail(
        "mailbox rename",
        "[-u <user>|-A] [-S <socket_path>] [-s] <old name> <new name>",
        "Renames a mailbox",
        params![
            SUBSCRIPTIONS,
            argument("mailbox", Kind::Text, "The mailbox"),
            argument("new-name", Kind::Text, "Its new name")
        ],
        cmd::mailbox::rename::rename,
    ),
    mail(
        "mailbox status",
        "[-u <user>|-A] [-S <socket_path>] <fields> <mailbox> [...]",
        "Shows the counts of mailboxes",
        params![
            option('t', "total-sum", Kind::Flag, "The sums of all"),
            option('f', "field", Kind::List, "A field, in place of the first argument"),
            argument("fieldstr", Kind::Text, "Fields with spaces between them, or all"),
            argument("mailbox-mask", Kind::List, "Names, or masks with * and %")
        ],
        cmd::mailbox::status::status,
    ),
    mail(
        "mailbox subscribe",
        "[-u <user>|-A] [-S <socket_path>] <mailbox> [...]",
        "Subscribes to mailboxes",
        params![MAILBOXES],
        cmd::mailbox::subscribe::subscribe,
    ),
    mail(
        "mailbox unsubscribe",
        "[-u <user>|-A] [-S <socket_path>] <mailbox> [...]",
        "Ends subscriptions",
        params![MAILBOXES],
        cmd::mailbox::subscribe::unsubscribe,
    ),
    mail(
        "mailbox update",
        "[-u <user>|-A] [-S <socket_path>] [--mailbox-guid guid] [--uid-validity uid] [--min-next-uid uid] [--min-first-recent-uid uid] [--min-highest-modseq seq] [--min-highest-pvt-modseq seq] <mailbox>",
        "Changes the numbers that identify a mailbox",
        params![
            option('g', "mailbox-guid", Kind::Text, "The GUID"),
            option('V', "uid-validity", Kind::Text, "UIDVALIDITY"),
            option('N', "min-next-uid", Kind::Text, "The least UIDNEXT"),
            option('R', "min-first-recent-uid", Kind::Text, "The least UID of recent messages"),
            option('H', "min-highest-modseq", Kind::Text, "The least HIGHESTMODSEQ"),
            option('P', "min-highest-pvt-modseq", Kind::Text, "The same for private flags"),
            MAILBOXES
        ],
        cmd::mailbox::update::update,
    ),
    mail(
        "move",
        "[-u <user>|-A] [-S <socket_path>] <destination> [user <source user>] <search query>",
        "Moves messages into another mailbox",
        params![argument("destination-mailbox", Kind::Text, "The mailbox that gets them"), QUERY],
        cmd::copy::move_mail,
    ),
    mail(
        "purge",
        "[-u <user>|-A] [-S <socket_path>] ",
        "Frees the space of messages that are gone",
        params![],
        cmd::purge::purge,
    ),
    mail(
        "rebuild attachments",
        "[-u <user>|-A] [-S <socket_path>] <search query>",
        "Sets the keywords that tell of attachments",
        params![QUERY],
        cmd::rebuild::attachments,
    ),
    mail(
        "save",
        "[-u <user>|-A] [-S <socket_path>] [-m mailbox]",
        "Puts a message into a mailbox",
        params![
            option('m', "mailbox", Kind::Text, "The mailbox; INBOX by default"),
            argument("file", Kind::Text, "The message; standard input by default")
        ],
        cmd::save::save,
    ),
    mail(
        "search",
        "[-u <user>|-A] [-S <socket_path>] <search query>",
        "Finds messages",
        params![QUERY],
        cmd::search::search,
    ),
    mail(
        "sync",
        "[-1fPRU] [-l <secs>] [-r <rawlog path>] [-m <mailbox>] [-g <mailbox guid>] [-n <namespace> | -N] [-x <exclude>] [-a <all mailbox>] [-s <state>] [-T <secs>] [-t <start date>] [-e <end date>] [-O <sync flag>] [-I <max size>] -d|<dest>",
        "Takes changes between the user's mailboxes and those of another place over, both ways",
        SYNC,
        cmd::sync::sync,
    ),
];

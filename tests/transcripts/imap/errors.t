# Bad input gets a tagged BAD, and the session goes on.
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a FOO
A< a BAD Error in IMAP command FOO: Unknown command *
A> b SELECT
A< b BAD Error in IMAP command SELECT: *
A> c FETCH 1 FLAGS
A< c BAD No mailbox selected *
A> d SELECT "unterminated
A< d BAD Error in IMAP command SELECT: *
A> e NOOP x
A< e OK NOOP completed *
A> f LIST "" (((
A< f BAD *
A> g STATUS INBOX (NONSENSE)
A< g BAD *
A> h LOGOUT
A< * BYE Logging out
A< h OK Logout completed *
eof A

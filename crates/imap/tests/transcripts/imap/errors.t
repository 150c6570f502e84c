# What 2.3 answers to nonsense, word for word.
open A
A> FOO
A< FOO BAD Error in IMAP command: Invalid command name (0.001 + 0.000 secs).
A> m FOO
A< m BAD Error in IMAP command FOO: Unknown command (0.001 + 0.000 secs).
A> 
A< * BAD Error in IMAP tag: Invalid tag (0.001 + 0.000 secs).
A> a SELECT "x
A< a BAD Error in IMAP command SELECT: Missing '"' (0.001 + 0.000 secs).
A> a FETCH 1 FLAGS
A< a BAD No mailbox selected (* secs).
A> a UID FOO
A< a BAD Error in IMAP command UID FOO: Unknown command (* secs).
A> a LOGIN a b
A< a BAD Error in IMAP command LOGIN: Unknown command (* secs).
A> a CREATE &abc
A< a NO Mailbox name is not valid mUTF-7 (* secs).
A> a SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 0 EXISTS
A<? * 0 RECENT
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 1] *
A<? a OK [READ-WRITE] Select completed (* secs).
A> p FETCH 1 ALL
A< p BAD Error in IMAP command FETCH: Invalid messageset (* secs).
A> q UID FETCH 1:* FLAGS
A< q OK Fetch completed (* secs).
A> r SEARCH FOO
A< r BAD Error in IMAP command SEARCH: Unknown argument FOO (* secs).
A> s STORE 1:* +FLAGS (\Deleted)
A< s BAD Error in IMAP command STORE: Invalid messageset (* secs).

# Twenty in a row, and the client is sent away.
open B
B~ z\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\nz\r\n
B> z
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< z BAD *
B< * BYE Too many invalid IMAP commands.
eof B

# A literal that is too large for a name ends the connection.
open C
C> a SELECT {70000}
C< * BYE Literal size too large
eof C

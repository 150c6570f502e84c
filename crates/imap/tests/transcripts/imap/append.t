# APPEND, one message or several, refused ones too.
open A
A> a APPEND INBOX {3}
A< + OK
A> abc
A< a OK [APPENDUID $v 1] Append completed (* secs).
A~ b APPEND INBOX (\\Seen \\Flagged $foo bar) "17-Jul-1996 02:44:25 -0700" {26+}\r\nSubject: hi\r\n\r\nbody\r\ntext\n\r\n
A< b OK [APPENDUID $v 2] Append completed (* secs).
# MULTIAPPEND
A~ c APPEND INBOX {4+}\r\none\n (\\Seen) {4+}\r\ntwo\n\r\n
A< c OK [APPENDUID $v 3:4] Append completed (* secs).
A> d APPEND nope {3}
A< d NO [TRYCREATE] Mailbox doesn't exist: nope (* secs).
A~ e APPEND nope {3+}\r\nabc\r\nf NOOP\r\n
A< e NO [TRYCREATE] Mailbox doesn't exist: nope (* secs).
A< f OK NOOP *
A> g APPEND INBOX () "bad date" {3}
A< g BAD Error in IMAP command APPEND: Invalid internal date (* secs).
A> h APPEND INBOX (\Recent) {3}
A< h BAD Error in IMAP command APPEND: Invalid system flag \RECENT (* secs).
A> i APPEND INBOX {0}
A< i NO Can't save a zero byte message (* secs).
A> j APPEND INBOX
A< j BAD Error in IMAP command APPEND: Missing message size (* secs).
# Another session has seen them first, so that none is recent here.
open Z
Z> a SELECT INBOX
Z<? * FLAGS *
Z<? * OK [PERMANENTFLAGS *
Z<? * 4 EXISTS
Z<? * * RECENT
Z<? * OK [UNSEEN *
Z<? * OK [UIDVALIDITY *
Z<? * OK [UIDNEXT *
Z<? a OK *
Z> b UNSELECT
Z< b OK *
A> k SELECT INBOX
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $foo bar)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $foo bar \*)] Flags permitted.
A< * 4 EXISTS
A< * 0 RECENT
A< * OK [UNSEEN 1] First unseen.
A< * OK [UIDVALIDITY $v] *
A< * OK [UIDNEXT 5] *
A< k OK [READ-WRITE] *
A> l FETCH 2 (FLAGS RFC822.SIZE)
A< * 2 FETCH (FLAGS (\Flagged \Seen $foo bar) RFC822.SIZE 27)
A< l OK *
A> m FETCH 1:4 FLAGS
A< * 1 FETCH (FLAGS ())
A< * 2 FETCH (FLAGS (\Flagged \Seen $foo bar))
A< * 3 FETCH (FLAGS ())
A< * 4 FETCH (FLAGS (\Seen))
A< m OK *
# Into the selected mailbox: it is announced before the answer.
A~ n APPEND INBOX {3+}\r\nabc\r\n
A< * 5 EXISTS
A< * * RECENT
A< n OK [APPENDUID $v 5] Append completed (* secs).

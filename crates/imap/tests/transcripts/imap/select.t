# SELECT and EXAMINE.
open A
A> a SELECT INBOX
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
A< * 0 EXISTS
A< * 0 RECENT
A< * OK [UIDVALIDITY $v] UIDs valid
A< * OK [UIDNEXT 1] Predicted next UID
A< a OK [READ-WRITE] Select completed (* secs).
A> b SELECT nonexistent
A< * OK [CLOSED] Previous mailbox closed.
A< b NO Mailbox doesn't exist: nonexistent (* secs).
A> c CLOSE
A< c BAD No mailbox selected (* secs).
A~ d APPEND INBOX (\\Flagged kw) {5+}\r\na: b\n\r\n
A< d OK [APPENDUID $v 1] Append completed (* secs).
A> e EXAMINE inbox
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft kw)
A< * OK [PERMANENTFLAGS ()] Read-only mailbox.
A< * 1 EXISTS
A< * * RECENT
A< * OK [UNSEEN 1] First unseen.
A< * OK [UIDVALIDITY $v] UIDs valid
A< * OK [UIDNEXT 2] Predicted next UID
A< e OK [READ-ONLY] Examine completed (* secs).
A> f STORE 1 FLAGS (\Seen)
A< f OK Store ignored with read-only mailbox (* secs).
A> g EXPUNGE
A< g OK Expunge completed (* secs).
A> h UNSELECT
A< h OK Unselect completed (* secs).
A> i SELECT ""
A< i NO [CANNOT] Invalid mailbox name: Name is empty (* secs).
A> j SELECT
A< j BAD Error in IMAP command SELECT: Invalid arguments (* secs).

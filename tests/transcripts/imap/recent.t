# \Recent belongs to one session, the first that selects read-write (RFC 3501 §2.3.2).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX () {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< a OK [APPENDUID * 1] Append completed (*
A> b APPEND INBOX (\Seen) {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< b OK [APPENDUID * 2] Append completed (*
A> c EXAMINE INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS ()] Read-only mailbox.
A<? * 2 EXISTS
A<? * 2 RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 3] Predicted next UID
A< c OK [READ-ONLY] Examine completed (*
A> d FETCH 1:* FLAGS
A<? * 1 FETCH (FLAGS (\Recent))
A<? * 2 FETCH (FLAGS (\Seen \Recent))
A< d OK Fetch completed (*
A> e UNSELECT
A< e OK Unselect completed (*
open B imap
B< * OK *
B> l LOGIN $user pass
B< l OK [CAPABILITY IMAP4rev1 *] Logged in
B> a SELECT INBOX
B<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
B<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
B<? * 2 EXISTS
B<? * 2 RECENT
B<? * OK [UNSEEN 1] First unseen.
B<? * OK [UIDVALIDITY *] UIDs valid
B<? * OK [UIDNEXT 3] Predicted next UID
B< a OK [READ-WRITE] Select completed (*
B> b FETCH 1:* FLAGS
B<? * 1 FETCH (FLAGS (\Recent))
B<? * 2 FETCH (FLAGS (\Seen \Recent))
B< b OK Fetch completed (*
A> f SELECT INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
A<? * 2 EXISTS
A<? * 0 RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 3] Predicted next UID
A< f OK [READ-WRITE] Select completed (*
A> g FETCH 1:* FLAGS
A<? * 1 FETCH (FLAGS ())
A<? * 2 FETCH (FLAGS (\Seen))
A< g OK Fetch completed (*
A> h SEARCH RECENT
A< * SEARCH
A< h OK Search completed (*
B> c SEARCH NEW
B< * SEARCH 1
B< c OK Search completed (*
B> d SEARCH OLD
B< * SEARCH
B< d OK Search completed (*
A> i APPEND INBOX (\Flagged) {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A<? * 3 EXISTS
A<? * 1 RECENT
A< i OK [APPENDUID * 3] Append completed (*
A> j FETCH 3 FLAGS
A< * 3 FETCH (FLAGS (\Flagged \Recent))
A< j OK Fetch completed (*
B> e NOOP
B< * 3 EXISTS
B< e OK NOOP completed (*
close A
close B

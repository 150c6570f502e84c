# Which commands may tell of expunged messages (RFC 3501 §7.4.1), and what becomes of those in between.
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX () {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< a OK [APPENDUID * 1] Append completed (*
A> b APPEND INBOX () {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< b OK [APPENDUID * 2] Append completed (*
A> c APPEND INBOX () {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< c OK [APPENDUID * 3] Append completed (*
A> d SELECT INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
A<? * 3 EXISTS
A<? * 3 RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 4] Predicted next UID
A< d OK [READ-WRITE] Select completed (*
open B imap
B< * OK *
B> l LOGIN $user pass
B< l OK [CAPABILITY IMAP4rev1 *] Logged in
B> a EXAMINE INBOX
B<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
B<? * OK [PERMANENTFLAGS ()] Read-only mailbox.
B<? * 3 EXISTS
B<? * 0 RECENT
B<? * OK [UNSEEN 1] First unseen.
B<? * OK [UIDVALIDITY *] UIDs valid
B<? * OK [UIDNEXT 4] Predicted next UID
B< a OK [READ-ONLY] Examine completed (*
A> e STORE 1 +FLAGS.SILENT (\Deleted)
A< e OK Store completed (*
B> b NOOP
B< * 1 FETCH (FLAGS (\Deleted))
B< b OK NOOP completed (*
A> f EXPUNGE
A<? * 1 EXPUNGE
A<? * 2 RECENT
A< f OK Expunge completed (*
B> c FETCH 2 UID
B< * 2 FETCH (UID 2)
B< c OK Fetch completed (*
B> d SEARCH ALL
B< * SEARCH 1 2 3
B< d OK Search completed (*
B> e FETCH 1 (UID BODY.PEEK[])
B< * 1 FETCH (UID 1 BODY[] NIL)
B< e OK [EXPUNGEISSUED] Some messages were already expunged (*
B> f NOOP
B< * 1 EXPUNGE
B< f OK NOOP completed (*
A> g STORE 1 +FLAGS.SILENT (\Deleted)
A< g OK Store completed (*
B> g NOOP
B< * 1 FETCH (FLAGS (\Deleted))
B< g OK NOOP completed (*
A> h EXPUNGE
A<? * 1 EXPUNGE
A<? * 1 RECENT
A< h OK Expunge completed (*
B> h UID FETCH 3 FLAGS
B<? * 2 FETCH (UID 3 FLAGS ())
B<? * 1 EXPUNGE
B< h OK Fetch completed (*
A> i APPEND INBOX () {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A<? * 2 EXISTS
A<? * 2 RECENT
A< i OK [APPENDUID * 4] Append completed (*
B> i FETCH 1 UID
B<? * 1 FETCH (UID 3)
B<? * 2 EXISTS
B< i OK Fetch completed (*
B> j CHECK
B< j OK Check completed (*
close A
close B

# STORE in its forms, and what other sessions are told (RFC 3501 §6.4.6, §7.4.2).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< a OK [APPENDUID * 1] *
A> b APPEND INBOX {17+}
A~ Subject: z\r\n\r\ny\r\n\r\n
A< b OK [APPENDUID * 2] *
A> c SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 3] *
A< c OK [READ-WRITE] Select completed (*
open B imap
B< * OK *
B> l LOGIN $user pass
B< l OK [CAPABILITY IMAP4rev1 *] Logged in
B> c EXAMINE INBOX
B<? * FLAGS *
B<? * OK [PERMANENTFLAGS ()] Read-only mailbox.
B<? * 2 EXISTS
B<? * 0 RECENT
B<? * OK [UNSEEN 1] First unseen.
B<? * OK [UIDVALIDITY *
B<? * OK [UIDNEXT 3] *
B< c OK [READ-ONLY] Examine completed (*
A> d STORE 1 +FLAGS (\Seen \Flagged)
A< * 1 FETCH (FLAGS (\Flagged \Seen*))
A< d OK Store completed (*
A> e UID STORE 2 FLAGS.SILENT (\Deleted)
A< e OK Store completed (*
A> f STORE 1 -FLAGS \Flagged
A< * 1 FETCH (FLAGS (\Seen*))
A< f OK Store completed (*
B> d NOOP
B<? * 1 FETCH (FLAGS (\Seen*))
B<? * 2 FETCH (FLAGS (\Deleted*))
B< d OK NOOP completed (*
B> e STORE 1 +FLAGS \Draft
B< e OK Store ignored with read-only mailbox *
A> g FETCH 1 BODY[]
A< * 1 FETCH (BODY[] {17}
A< Subject: x
A<
A< y
A< )
A< g OK Fetch completed (*
A> h EXPUNGE
A< * 2 EXPUNGE
A< * 1 RECENT
A< h OK Expunge completed (*
B> f FETCH 1 UID
B< * 1 FETCH (UID 1)
B! * EXPUNGE
B< f OK Fetch completed *
B> g NOOP
B< * 2 EXPUNGE
B< g OK NOOP completed (*
A> i STORE 1 +FLAGS (\Recent)
A< i BAD *
A> j CLOSE
A< j OK Close completed (*
A> k FETCH 1 FLAGS
A< k BAD No mailbox selected (*
close A
close B

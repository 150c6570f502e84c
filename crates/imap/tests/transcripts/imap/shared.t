# Two sessions in a mailbox see each other's changes when they may.
open A
A~ a APPEND INBOX {1+}\r\na {1+}\r\nb {1+}\r\nc\r\n
A< a OK *
A> b SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 3 EXISTS
A<? * 3 RECENT
A<? * OK [UNSEEN 1] *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 4] *
A<? b OK [READ-WRITE] *
open B
B> b SELECT INBOX
B<? * FLAGS *
B<? * OK [PERMANENTFLAGS *
B<? * 3 EXISTS
B<? * 0 RECENT
B<? * OK [UNSEEN 1] *
B<? * OK [UIDVALIDITY *
B<? * OK [UIDNEXT 4] *
B<? b OK [READ-WRITE] *
B> c STORE 1 +FLAGS.SILENT (\Deleted)
B< c OK *
A> ca NOOP
A< * 1 FETCH (FLAGS (\Deleted \Recent))
A< ca OK *
B> d STORE 2 +FLAGS.SILENT (\Seen)
B< d OK *
B> e EXPUNGE
B< * 1 EXPUNGE
B< e OK *
# FETCH must not announce EXPUNGE, and the numbers stay what they were.
A> c FETCH 3 UID
A< * 3 FETCH (UID 3)
A< * 2 FETCH (FLAGS (\Seen \Recent))
A< c OK *
A> d FETCH 1:2 (UID BODY.PEEK[])
A< * 1 FETCH (UID 1 BODY[] NIL)
A< * 2 FETCH (UID 2 BODY[] {1}
A< b)
A< d OK [EXPUNGEISSUED] Some messages were already expunged (* secs).
A> e NOOP
A< * 1 EXPUNGE
A< * 2 RECENT
A< e OK *
A> f FETCH 1:* UID
A< * 1 FETCH (UID 2)
A< * 2 FETCH (UID 3)
A< f OK *

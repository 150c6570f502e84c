# EXPUNGE, UID EXPUNGE and CLOSE.
open A
A~ a APPEND INBOX {1+}\r\na {1+}\r\nb {1+}\r\nc {1+}\r\nd {1+}\r\ne\r\n
A< a OK [APPENDUID * 1:5] *
A> b SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 5 EXISTS
A<? * 5 RECENT
A<? * OK [UNSEEN 1] *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 6] *
A<? b OK [READ-WRITE] *
A> c STORE 1:4 +FLAGS.SILENT (\Deleted)
A< c OK *
A> d UID EXPUNGE 2,5
A< * 2 EXPUNGE
A< * 4 RECENT
A< d OK Expunge completed (* secs).
A> e EXPUNGE
A< * 3 EXPUNGE
A< * 2 EXPUNGE
A< * 1 EXPUNGE
A< * 1 RECENT
A< e OK Expunge completed (* secs).
A> f FETCH 1 UID
A< * 1 FETCH (UID 5)
A< f OK *
A> g STORE 1 +FLAGS.SILENT (\Deleted)
A< g OK *
A> h CLOSE
A< h OK Close completed (* secs).
A> i STATUS INBOX (MESSAGES UIDNEXT)
A< * STATUS INBOX (MESSAGES 0 UIDNEXT 6)
A< i OK Status completed (* secs).

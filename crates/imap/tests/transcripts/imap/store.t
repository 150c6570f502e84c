# STORE.
open A
A~ a APPEND INBOX {3+}\r\nabc (\\Seen) {3+}\r\nabc\r\n
A< a OK *
# Another session has seen them first, so that none is recent here.
open Z
Z> a SELECT INBOX
Z<? * FLAGS *
Z<? * OK [PERMANENTFLAGS *
Z<? * 2 EXISTS
Z<? * * RECENT
Z<? * OK [UNSEEN *
Z<? * OK [UIDVALIDITY *
Z<? * OK [UIDNEXT *
Z<? a OK *
Z> b UNSELECT
Z< b OK *
A> b SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * 0 RECENT
A<? * OK [UNSEEN 1] *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 3] *
A<? b OK [READ-WRITE] *
A> c STORE 1 +FLAGS (\Flagged)
A< * 1 FETCH (FLAGS (\Flagged))
A< c OK Store completed (* secs).
A> d STORE 1:2 +FLAGS.SILENT \Answered
A< d OK Store completed (* secs).
A> e STORE 1:2 FLAGS (\Answered)
A< * 1 FETCH (FLAGS (\Answered))
A< * 2 FETCH (FLAGS (\Answered))
A< e OK *
# What is so already is not told again.
A> f STORE 1 FLAGS (\Answered)
A< f OK *
A> g UID STORE 2 -FLAGS (\Answered)
A< * 2 FETCH (UID 2 FLAGS ())
A< g OK *
# A new keyword comes with new lists of flags.
A> h STORE 1 FLAGS (newkw)
A< * FLAGS (\Answered \Flagged \Deleted \Seen \Draft newkw)
A< * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft newkw \*)] Flags permitted.
A< * 1 FETCH (FLAGS (newkw))
A< h OK *
A> i STORE 1 +FLAGS (a]b)
A< i NO [CANNOT] Invalid characters in keyword (* secs).
A> j STORE 1 FLAGS (\Foo)
A< j BAD Error in IMAP command STORE: Invalid system flag \FOO (* secs).
A> k STORE 9 FLAGS ()
A< k BAD Error in IMAP command STORE: Invalid messageset (* secs).

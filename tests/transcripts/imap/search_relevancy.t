# Without full text search FUZZY looks exactly, and all results fit equally well (RFC 6203).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX {26+}
A~ Subject: two\r\n\r\ntext two\r\n\r\n
A< a OK *
A> b APPEND INBOX {26+}
A~ Subject: two\r\n\r\ntext two\r\n\r\n
A< b OK *
A> c EXAMINE INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 3] *
A< c OK [READ-ONLY] Examine completed (*
A> d SEARCH FUZZY SUBJECT two
A< * SEARCH 1 2
A< d OK Search completed (*
A> e SEARCH RETURN (RELEVANCY) SUBJECT two
A< * ESEARCH (TAG "e") RELEVANCY (1 1)
A< e OK Search completed (*
A> f SEARCH RETURN (RELEVANCY ALL COUNT) FUZZY BODY two
A< * ESEARCH (TAG "f") ALL 1:2 RELEVANCY (1 1) COUNT 2
A< f OK Search completed (*
A> g SEARCH RETURN (RELEVANCY ALL) SUBJECT none
A< * ESEARCH (TAG "g") RELEVANCY ()
A< g OK Search completed (*
A> h SORT (REVERSE RELEVANCY) UTF-8 ALL
A< * SORT 1 2
A< h OK Sort completed (*

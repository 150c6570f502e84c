# ESEARCH (RFC 4731), SEARCHRES (RFC 5182), WITHIN (RFC 5032), PARTIAL (RFC 5267).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY *ESEARCH ESORT SEARCHRES WITHIN*] Logged in
A> a APPEND INBOX {27+}
A~ Subject: message 1\r\n\r\nodd\r\n\r\n
A< a OK *
A> b APPEND INBOX {28+}
A~ Subject: message 2\r\n\r\neven\r\n\r\n
A< b OK *
A> c APPEND INBOX {27+}
A~ Subject: message 3\r\n\r\nodd\r\n\r\n
A< c OK *
A> d APPEND INBOX {28+}
A~ Subject: message 4\r\n\r\neven\r\n\r\n
A< d OK *
A> e APPEND INBOX {27+}
A~ Subject: message 5\r\n\r\nodd\r\n\r\n
A< e OK *
A> f APPEND INBOX {28+}
A~ Subject: message 6\r\n\r\neven\r\n\r\n
A< f OK *
A> s SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 6 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT *
A< s OK [READ-WRITE] Select completed (*
A> g SEARCH RETURN () BODY odd
A< * ESEARCH (TAG "g") ALL 1,3,5
A< g OK Search completed (*
A> h UID SEARCH RETURN (MIN MAX COUNT) BODY odd
A< * ESEARCH (TAG "h") UID MIN 1 MAX 5 COUNT 3
A< h OK Search completed (*
A> i SEARCH RETURN (ALL COUNT) BODY nothing
A< * ESEARCH (TAG "i") COUNT 0
A< i OK Search completed (*
A> j SEARCH RETURN (PARTIAL 2:3) 2:6
A< * ESEARCH (TAG "j") PARTIAL (2:3 3:4)
A< j OK Search completed (*
A> k SEARCH RETURN (PARTIAL 7:9) 2:6
A< * ESEARCH (TAG "k") PARTIAL (7:9 NIL)
A< k OK Search completed (*
A> m SEARCH RETURN (SAVE) BODY even
A< m OK Search completed (*
A> n FETCH $ UID
A< * 2 FETCH (UID 2)
A< * 4 FETCH (UID 4)
A< * 6 FETCH (UID 6)
A< n OK Fetch completed (*
A> o SEARCH NOT $
A< * SEARCH 1 3 5
A< o OK Search completed (*
A> p SEARCH RETURN (SAVE ALL) $ 3:6
A< * ESEARCH (TAG "p") ALL 4,6
A< p OK Search completed (*
A> q UID SEARCH UID $
A< * SEARCH 4 6
A< q OK Search completed (*
A> r SEARCH RETURN (SAVE MIN) ALL
A< * ESEARCH (TAG "r") MIN 1
A< r OK Search completed (*
A> t UID STORE $ +FLAGS (\Deleted)
A< * 1 FETCH (UID 1 FLAGS (*))
A< t OK Store completed (*
A> u UID EXPUNGE $
A< * 1 EXPUNGE
A<? * 5 RECENT
A< u OK Expunge completed (*
# What is gone is no longer in it.
A> v SEARCH $
A< * SEARCH
A< v OK Search completed (*
A> w SEARCH OLDER 1000
A< * SEARCH
A< w OK Search completed (*
A> x SEARCH RETURN (COUNT) YOUNGER 1000
A< * ESEARCH (TAG "x") COUNT 5
A< x OK Search completed (*
A> y SEARCH RETURN (PARTIAL 1:2 ALL) ALL
A< y BAD Error in IMAP command SEARCH: PARTIAL conflicts with ALL (*
A> z SEARCH RETURN (SAVE) CHARSET nosuch ALL
A< z NO [BADCHARSET] *
close A

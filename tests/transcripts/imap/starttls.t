# STARTTLS, then login; what was sent before TLS does not count afterwards (RFC 3501 §6.2.1).
open A imap
A< * OK *
A> a STARTTLS
A< a OK Begin TLS negotiation now.
starttls A
A> b CAPABILITY
A< * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN
A< b OK Pre-login capabilities listed, post-login capabilities have more.
A> c STARTTLS
A< c BAD *
A> d LOGIN $user pass
A< d OK [CAPABILITY IMAP4rev1 *] Logged in
A> e SELECT INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
A<? * 0 EXISTS
A<? * 0 RECENT
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 1] Predicted next UID
A< e OK [READ-WRITE] Select completed (*
A> f LOGOUT
A< * BYE Logging out
A< f OK Logout completed (*
eof A

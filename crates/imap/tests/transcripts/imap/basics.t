# Commands that need no mailbox.
open A
A> a CAPABILITY
A< * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS THREAD=ORDEREDSUBJECT MULTIAPPEND UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1 ESEARCH ESORT SEARCHRES WITHIN LIST-STATUS MOVE STATUS=SIZE LITERAL+ SPECIAL-USE
A< a OK Capability completed (0.001 + 0.000 secs).
A> b NOOP and whatever (follows
A< b OK NOOP completed (* secs).
A> c ID ("name" "test")
A< * ID ("name" "Dovecot")
A< c OK ID completed (* secs).
A> d NAMESPACE
A< * NAMESPACE (("" "/")) NIL NIL
A< d OK Namespace completed (* secs).
A> e ENABLE FOO
A< e OK Enabled (* secs).
A> f CHECK
A< f BAD No mailbox selected (* secs).
# Several at once are answered in order.
A~ g NOOP\r\nh NOOP\ni LOGOUT\r\nj NOOP\r\n
A< g OK *
A< h OK *
A< * BYE Logging out
A< i OK Logout completed (* secs).
A.
eof A

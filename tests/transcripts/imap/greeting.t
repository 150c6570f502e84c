# Greeting and capabilities before login, from the server's own address: plaintext is allowed.
open A imap
A< * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN AUTH=LOGIN] *ready.
A> a CAPABILITY
A< * CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN AUTH=LOGIN
A< a OK Pre-login capabilities listed, post-login capabilities have more.
A> b NOOP
A< b OK NOOP completed.
A> x ID ("name" "test")
A< * ID ("name" "Dovecot")
A< x OK ID completed.
A> c LOGOUT
A< * BYE Logging out
A< c OK Logout completed.
eof A

# TLS from the first byte: STARTTLS is not offered.
open B imaps
B< * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN] *ready.
B> a LOGIN $user pass
B< a OK [CAPABILITY IMAP4rev1 *] Logged in
B> b LOGOUT
B< * BYE Logging out
B< b OK Logout completed *
eof B

# Synchronising and other literals.
open A
A> a CREATE {3}
A< + OK
A> new
A< a OK Create completed (* secs).
A~ b STATUS {3+}\r\nnew (MESSAGES)\r\n
A< * STATUS new (MESSAGES 0)
A< b OK Status completed (* secs).
# A refused command's literal is not taken for commands, as 2.3 does.
A~ c FOO {10+}\r\nz LOGOUT\r\n\r\nd NOOP\r\n
A< c BAD *
A< d OK NOOP *

//! The demo account's first messages.

use std::path::Path;

use super::{Error, Owner, make};

/// Seconds since 1970 of the first message, for its file's name and time of arrival.
const FIRST_AT: u32 = 1_790_000_000;

/// Makes the demo user's Maildir with its messages.
pub(super) fn write(mail: &Path, owner: Owner) -> Result<(), Error> {
    let maildir = mail.join("demo").join("Maildir");
    for directory in [mail, &mail.join("demo"), &maildir] {
        make(directory, owner)?;
    }
    for name in ["cur", "new", "tmp"] {
        make(&maildir.join(name), owner)?;
    }
    for (number, message) in (0..).zip(MESSAGES) {
        let path = maildir.join("new").join(format!("{}.M{number}P1.quickstart", FIRST_AT + number));
        super::write(&path, message.as_bytes(), 0o600, owner)?;
    }
    Ok(())
}

const MESSAGES: [&str; 3] = [WELCOME, BERLIN, PICTURE];

const WELCOME: &str = "\
From: Culver <culver@localhost>
To: demo@localhost
Subject: Welcome
Date: Mon, 21 Sep 2026 14:13:20 +0000
Message-ID: <welcome@localhost>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

This mailbox is a Maildir. Read it with any client, move messages about,
flag and delete them: Dovecot 2.3 would understand what is left.
";

const BERLIN: &str = "\
From: =?UTF-8?Q?J=C3=B6rg_M=C3=BCller?= <joerg@example.org>
To: demo@localhost
Cc: team@example.org
Subject: =?UTF-8?B?R3LDvMOfZSBhdXMgQmVybGlu?=
Date: Mon, 21 Sep 2026 14:13:21 +0000
Message-ID: <berlin@example.org>
In-Reply-To: <welcome@localhost>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Sch=C3=B6ne Gr=C3=BC=C3=9Fe. Search this mailbox for =E2=80=9ESch=C3=B6ne=E2=80=9C.
";

const PICTURE: &str = "\
From: Ann <ann@example.com>
To: demo@localhost
Subject: A picture
Date: Mon, 21 Sep 2026 14:13:22 +0000
Message-ID: <picture@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=next

--next
Content-Type: text/plain

A picture of one dot is attached.

--next
Content-Type: image/gif; name=dot.gif
Content-Disposition: attachment; filename=dot.gif
Content-Transfer-Encoding: base64

R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs=

--next--
";

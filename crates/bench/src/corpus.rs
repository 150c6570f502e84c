//! Messages made from a seed: 1 to 100 kB, plain and multipart, with attachments, UTF-8 and threads.
//! The same seed and number give the same bytes on every machine.

/// A word that is in the body of about one message in fifty, and in no other text.
pub(crate) const RARE_WORD: &str = "xylophone";

/// Messages that may answer each other: threads do not cross the borders of these blocks.
const BLOCK: u64 = 16;

const WORDS: &[&str] = &[
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "for",
    "is",
    "on",
    "with",
    "that",
    "we",
    "it",
    "you",
    "this",
    "are",
    "be",
    "as",
    "from",
    "at",
    "have",
    "not",
    "by",
    "or",
    "will",
    "can",
    "please",
    "about",
    "report",
    "meeting",
    "invoice",
    "project",
    "server",
    "release",
    "budget",
    "patch",
    "schedule",
    "update",
    "contract",
    "question",
    "draft",
    "review",
    "weekly",
    "holiday",
    "attached",
    "Thursday",
    "agreement",
];
const SCRIPTS: &[&str] = &[
    "Grüße aus Köln, die Rechnung für Juni liegt bei",
    "Привет, отчёт за неделю во вложении",
    "会議の議事録を送ります",
    "Voici le compte rendu de la réunion d’été",
    "안녕하세요, 주간 보고서를 첨부합니다",
];
const PEOPLE: &[&str] =
    &["Anna", "Bela", "Chen", "Élodie", "Günter", "Ingrid", "Kenji", "Lars", "Noor", "Priya"];
const MONTHS: &[&str] = &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// All messages of a seed.
#[derive(Clone, Copy)]
pub(crate) struct Corpus {
    seed: u64,
}

impl Corpus {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A message with lines that end in LF, as a Maildir holds it.
    pub(crate) fn message(&self, number: u64) -> Vec<u8> {
        let mut random = self.random(number, 0);
        // Sizes are spread evenly over their logarithm, which is near to what mailboxes hold.
        let size = 1000.0 * 100f64.powf(random.unit());
        let mut text = self.headers(number, &mut random);
        body(&mut text, size as usize, number, &mut random);
        text.into_bytes()
    }

    /// The same as it is sent, with CRLF.
    pub(crate) fn message_crlf(&self, number: u64) -> Vec<u8> {
        let message = self.message(number);
        let mut sent = Vec::with_capacity(message.len() + message.len() / 32);
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            sent.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            sent.extend_from_slice(b"\r\n");
        }
        sent
    }

    fn random(&self, number: u64, what: u64) -> Random {
        let mut mixed = Random(self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ (number << 8) ^ what);
        Random(mixed.next())
    }

    /// The message that this one answers, which is an earlier one of its block.
    fn parent(&self, number: u64) -> Option<u64> {
        let mut random = self.random(number, 1);
        let earlier = number % BLOCK;
        (earlier > 0 && random.chance(60)).then(|| number - earlier + random.below(earlier))
    }

    fn id(&self, number: u64) -> String {
        format!("<{number}.{:x}@mail.example.com>", self.random(number, 2).next())
    }

    fn headers(&self, number: u64, random: &mut Random) -> String {
        let ancestors: Vec<u64> = std::iter::successors(self.parent(number), |n| self.parent(*n)).collect();
        let root = ancestors.last().copied().unwrap_or(number);
        let date = date(number, random);
        let mut text = format!("Return-Path: <bounce-{number}@example.com>\n");
        for hop in 0..=random.below(3) {
            let id = random.next();
            text.push_str(&format!("Received: from mx{hop}.example.org (unknown [192.0.2.{hop}])\n"));
            text.push_str(&format!(
                "\tby relay{hop}.example.com (Postfix) with ESMTPS id {id:X};\n\t{date}\n"
            ));
        }
        text.push_str(&format!("Date: {date}\nFrom: {}\nTo: {}", person(random), person(random)));
        for _ in 0..random.below(4) {
            text.push_str(&format!(",\n {}", person(random)));
        }
        let answer = if ancestors.is_empty() { "" } else { "Re: " };
        text.push_str(&format!("\nSubject: {answer}{}\n", subject(&mut self.random(root, 3))));
        text.push_str(&format!("Message-ID: {}\n", self.id(number)));
        if let Some(parent) = ancestors.first() {
            text.push_str(&format!("In-Reply-To: {}\nReferences:", self.id(*parent)));
            ancestors.iter().rev().for_each(|ancestor| text.push_str(&format!("\n {}", self.id(*ancestor))));
            text.push('\n');
        }
        if random.chance(35) {
            text.push_str("List-Id: weekly list <weekly.lists.example.org>\nPrecedence: list\n");
        }
        text.push_str("MIME-Version: 1.0\n");
        text
    }
}

/// A date about half an hour after the one of the message before, give or take a day.
fn date(number: u64, random: &mut Random) -> String {
    let minutes = number * 31 + random.below(1440);
    let (hours, days) = (minutes / 60, minutes / 1440);
    let month = MONTHS[(days / 28 % 12) as usize];
    let year = 2001 + days / (28 * 12);
    format!("{} {month} {year} {:02}:{:02}:{:02} +0000", days % 28 + 1, hours % 24, minutes % 60, number % 60)
}

fn person(random: &mut Random) -> String {
    let name = random.pick(PEOPLE);
    let shown = if name.is_ascii() { name.to_owned() } else { encoded_word(name) };
    format!("{shown} {} <user{}@example.com>", random.pick(WORDS), random.below(500))
}

fn subject(random: &mut Random) -> String {
    match random.chance(12) {
        true => encoded_word(random.pick(SCRIPTS)),
        false => (0..4).map(|_| random.pick(WORDS)).collect::<Vec<_>>().join(" "),
    }
}

fn encoded_word(text: &str) -> String {
    format!("=?UTF-8?B?{}?=", base64(text.as_bytes()))
}

/// Content-Type and all that follows, until the message has about `size` bytes.
fn body(text: &mut String, size: usize, number: u64, random: &mut Random) {
    let rare = if random.chance(2) { format!("{RARE_WORD}\n") } else { String::new() };
    let boundary = format!("=-{number}-=");
    let multipart = |text: &mut String, kind: &str| {
        text.push_str(&format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\n\n--{boundary}\n"));
    };
    match random.below(100) {
        0..45 => {
            text.push_str(&format!("Content-Type: text/plain; charset=us-ascii\n\n{rare}"));
            prose(text, size, random);
        }
        45..60 => {
            text.push_str("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n");
            text.push_str(&format!("{rare}{}\n", random.pick(SCRIPTS)));
            prose(text, size, random);
        }
        60..80 => {
            multipart(text, "alternative");
            text.push_str(&format!("Content-Type: text/plain; charset=us-ascii\n\n{rare}"));
            let half = text.len() + size.saturating_sub(text.len()) / 2;
            prose(text, half, random);
            text.push_str(&format!(
                "\n--{boundary}\nContent-Type: text/html; charset=us-ascii\n\n<html><p>\n"
            ));
            prose(text, size, random);
            text.push_str(&format!("</p></html>\n--{boundary}--\n"));
        }
        _ => {
            multipart(text, "mixed");
            text.push_str(&format!("Content-Type: text/plain; charset=us-ascii\n\n{rare}"));
            let part = text.len() + 400;
            prose(text, part, random);
            text.push_str(&format!("\n--{boundary}\n{ATTACHMENT}\n"));
            attachment(text, size, random);
            text.push_str(&format!("--{boundary}--\n"));
        }
    }
}

const ATTACHMENT: &str = "\
Content-Type: application/pdf; name=\"report.pdf\"
Content-Disposition: attachment; filename=\"report.pdf\"
Content-Transfer-Encoding: base64
";

/// Lines of words, until the text has `size` bytes. At least one line.
fn prose(text: &mut String, size: usize, random: &mut Random) {
    loop {
        let line = text.len();
        while text.len() < line + 65 {
            text.push_str(random.pick(WORDS));
            text.push(' ');
        }
        text.pop();
        text.push('\n');
        if text.len() >= size {
            return;
        }
    }
}

/// Lines of base64, as long as they are in mail. At least one line.
fn attachment(text: &mut String, size: usize, random: &mut Random) {
    loop {
        let mut bytes = [0; 64];
        bytes.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next().to_le_bytes()));
        text.push_str(&base64(&bytes[..57]));
        text.push('\n');
        if text.len() >= size {
            return;
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for digit in 0..4 {
            match digit <= chunk.len() {
                true => text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

/// SplitMix64: small, and good enough for text.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn pick(&mut self, from: &'static [&'static str]) -> &'static str {
        from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides() {
        assert_eq!(Corpus::new(1).message(7), Corpus::new(1).message(7));
        assert_ne!(Corpus::new(1).message(7), Corpus::new(2).message(7));
        assert_ne!(Corpus::new(1).message(7), Corpus::new(1).message(8));
    }

    #[test]
    fn there_is_something_of_everything() {
        let messages: Vec<_> = (0..500).map(|n| Corpus::new(1).message(n)).collect();
        let having = |what: &str| {
            messages.iter().filter(|message| memchr::memmem::find(message, what.as_bytes()).is_some()).count()
        };
        for (what, at_least, at_most) in [
            ("\nReferences:", 200, 400),
            ("multipart/mixed", 50, 150),
            ("multipart/alternative", 50, 150),
            ("\nSubject: =?UTF-8?B?", 20, 100),
            (RARE_WORD, 3, 30),
        ] {
            let count = having(what);
            assert!((at_least..=at_most).contains(&count), "{what}: {count}");
        }
        let sizes = messages.iter().map(Vec::len);
        assert!(sizes.clone().min() < Some(2_000) && sizes.max() > Some(90_000));
    }

    #[test]
    fn base64_pads() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}

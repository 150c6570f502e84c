//! A side at the other end of a pipe: `doveadm sync ssh host doveadm dsync-server`. The server begins as the
//! original does, and says that it is one of ours; a client of ours then asks for our own protocol, in which
//! one end asks and the other answers, each message a frame of `ipc`. A client of the original just goes on
//! ([`original`]).

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use mail_user::MailUser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use storage::{Error, ErrorKind, Result};

use super::Report;
use super::local::Local;
use super::original::{self, Line as Line3, VERSION, greeting};
use super::side::{
    Attribute, Filter, Flagged, Identity, Levels, Message, Meta, Node, Opened, Scope, Side, Tree,
};

/// What the client says to have our own protocol. The number goes up when frames change.
const GREETING: &str = "VERSION\tculver-dsync\t2\t0\n";
/// Longest line that is read as a greeting, in bytes.
const GREETING_BYTES_MAX: usize = 128;
/// Bytes of a message in one frame.
const PIECE_BYTES: usize = 64 * 1024;
/// Entries of a list in one frame.
const PAGE: usize = 200;

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    Tree,
    /// First, unless it is [`Scope::Inbox`].
    Scope(Scope),
    Create(Levels, bool),
    Delete(Levels),
    Rename(Levels, Levels),
    Subscribe(Levels, bool),
    Open(Levels, Filter),
    Expunge(Vec<u32>),
    Flag(Vec<Flagged>),
    Identify(Identity),
    Message(u32),
    /// Pieces follow. There is no answer: trouble is told with the next [`Ask::Commit`].
    Save(Meta),
    Piece(Vec<u8>),
    PiecesEnd,
    Copy(u32, u32),
    Commit,
    Purge,
    Attributes(Levels),
    SetAttribute(Levels, Attribute, bool),
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done,
    Failed(Kind, String),
    /// Without its lists, which come in pages up to [`Answer::Done`].
    Tree(Tree),
    Nodes(Vec<Node>),
    Names(Vec<Levels>),
    Attributes(Option<Vec<Attribute>>),
    Subscriptions(Vec<Levels>),
    Opened(Opened),
    Messages(Vec<Message>),
    /// Nothing, or the message's pieces follow.
    Message(Option<Meta>),
    Piece(Vec<u8>),
    PiecesEnd,
    Uids(Vec<u32>),
}

/// The kinds of errors that make a difference at the other end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Kind {
    NotFound,
    Exists,
    Permission,
    Quota,
    Params,
    Other,
}

/// Frames both ways.
struct Line<R, W> {
    input: R,
    output: W,
    decoder: ipc::Decoder,
}

impl<R: Read, W: Write> Line<R, W> {
    fn new(input: R, output: W) -> Self {
        Self { input, output, decoder: ipc::Decoder::new() }
    }

    fn send(&mut self, message: &impl Serialize) -> Result<()> {
        let frame = ipc::encode(message).map_err(|error| broken(base::chain(&error)))?;
        self.output.write_all(&frame).map_err(|error| Error::io("write", "dsync", error))
    }

    fn flush(&mut self) -> Result<()> {
        self.output.flush().map_err(|error| Error::io("write", "dsync", error))
    }

    /// The next message; `None` at the end.
    fn next<T: for<'a> Deserialize<'a>>(&mut self) -> Result<Option<T>> {
        loop {
            let message = self.decoder.message().map_err(|error| broken(base::chain(&error)))?;
            if message.is_some() {
                return Ok(message);
            }
            let mut buffer = [0; 16 * 1024];
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => self.decoder.push(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", "dsync", error)),
            }
        }
    }

    fn greet(&mut self) -> Result<()> {
        self.output
            .write_all(GREETING.as_bytes())
            .and_then(|()| self.output.flush())
            .map_err(|error| Error::io("write", "dsync", error))
    }
}

/// The other side's greeting, byte by byte: what follows is for somebody else.
fn hear_greeting(input: &mut impl Read) -> Result<Vec<u8>> {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n") && heard.len() < GREETING_BYTES_MAX {
        let mut byte = [0];
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => heard.extend_from_slice(&byte),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", "dsync", error)),
        }
    }
    Ok(heard)
}

fn check_greeting(heard: &[u8]) -> Result<()> {
    match heard {
        heard if heard == GREETING.as_bytes() => Ok(()),
        b"" => Err(broken("The remote command ended without a greeting")),
        heard => {
            let shown = String::from_utf8_lossy(heard);
            let text = format!("The other side isn't a dsync-server of this version: {}", shown.trim_end());
            Err(broken(text))
        }
    }
}

/// Who is at the other end.
pub(crate) enum Peer<R: Read, W: Write> {
    /// One of ours.
    Ours(Box<dyn Side>),
    /// Dovecot's own.
    Original(Line3<R, W>),
}

/// Greets the server at the other end. If `whole_names`, names have the prefixes of their namespaces, which
/// are those of `scope`.
pub(crate) fn connect<R: Read + 'static, W: Write + 'static>(
    mut input: R,
    output: W,
    scope: &Scope,
    whole_names: bool,
) -> Result<Peer<R, W>> {
    let heard = hear_greeting(&mut input)?;
    if heard.is_empty() {
        return Err(broken("The remote command ended without a greeting"));
    }
    let heard = String::from_utf8_lossy(&heard);
    if !heard.starts_with(VERSION) {
        return check_greeting(heard.as_bytes()).and(Err(broken("The other side speaks an older protocol")));
    }
    let line = Line3::new(input, output, heard.trim_end())?;
    if !line.is_ours() {
        return Ok(Peer::Original(line));
    }
    let (input, output) = line.into_parts();
    let mut line = Line::new(input, output);
    line.greet()?;
    let mut remote = Remote { line };
    if whole_names {
        remote.done(&Ask::Scope(scope.clone()))?;
    }
    Ok(Peer::Ours(Box::new(remote)))
}

/// Input that may be silent only for so long.
pub(crate) struct Timed<R> {
    pub(crate) input: R,
    pub(crate) timeout: Duration,
}

impl<R: Read + AsFd> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let timeout =
            Timespec { tv_sec: i64::try_from(self.timeout.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
        let mut waiting = [PollFd::new(&self.input, PollFlags::IN)];
        if poll(&mut waiting, Some(&timeout))? == 0 {
            let why = format!("Timeout after {} secs without input", self.timeout.as_secs());
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, why));
        }
        self.input.read(buffer)
    }
}

pub(super) fn broken(why: impl std::fmt::Display) -> Error {
    Error::Temporary {
        op: "dsync",
        path: "remote".into(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_string()),
    }
}

/// The side that asks.
pub(crate) struct Remote<R, W> {
    line: Line<R, W>,
}

impl<R: Read, W: Write> Remote<R, W> {
    fn answer(&mut self) -> Result<Answer> {
        self.line.flush()?;
        match self.line.next()? {
            Some(Answer::Failed(kind, text)) => Err(told(kind, text)),
            Some(answer) => Ok(answer),
            None => Err(broken("The other side hung up")),
        }
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer> {
        self.line.send(ask)?;
        self.answer()
    }

    fn done(&mut self, ask: &Ask) -> Result<()> {
        match self.ask(ask)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> Error {
    let text = format!("{answer:?}");
    broken(format!("Unexpected answer: {}", text.split(['(', ' ']).next().unwrap_or_default()))
}

impl<R: Read, W: Write> Side for Remote<R, W> {
    fn tree(&mut self) -> Result<Tree> {
        let mut tree = match self.ask(&Ask::Tree)? {
            Answer::Tree(tree) => tree,
            other => return Err(unexpected(&other)),
        };
        loop {
            match self.answer()? {
                Answer::Nodes(nodes) => tree.mailboxes.extend(nodes),
                Answer::Names(nodes) => tree.nodes.extend(nodes),
                Answer::Subscriptions(names) => tree.subscriptions.extend(names),
                Answer::Done => return Ok(tree),
                other => return Err(unexpected(&other)),
            }
        }
    }

    fn create(&mut self, levels: &Levels, node: bool) -> Result<()> {
        self.done(&Ask::Create(levels.clone(), node))
    }

    fn delete(&mut self, levels: &Levels) -> Result<()> {
        self.done(&Ask::Delete(levels.clone()))
    }

    fn rename(&mut self, from: &Levels, to: &Levels) -> Result<()> {
        self.done(&Ask::Rename(from.clone(), to.clone()))
    }

    fn subscribe(&mut self, levels: &Levels, subscribed: bool) -> Result<()> {
        self.done(&Ask::Subscribe(levels.clone(), subscribed))
    }

    fn open(&mut self, levels: &Levels, filter: &Filter) -> Result<Opened> {
        let mut opened = match self.ask(&Ask::Open(levels.clone(), filter.clone()))? {
            Answer::Opened(opened) => opened,
            other => return Err(unexpected(&other)),
        };
        loop {
            match self.answer()? {
                Answer::Messages(messages) => opened.messages.extend(messages),
                Answer::Opened(more) => opened.expunged.extend(more.expunged),
                Answer::Done => return Ok(opened),
                other => return Err(unexpected(&other)),
            }
        }
    }

    fn expunge(&mut self, uids: &[u32]) -> Result<()> {
        uids.chunks(PIECE_BYTES / 8).try_for_each(|uids| self.done(&Ask::Expunge(uids.to_vec())))
    }

    fn flag(&mut self, changes: &[Flagged]) -> Result<()> {
        for change in changes {
            for uids in change.uids.chunks(PIECE_BYTES / 8) {
                self.done(&Ask::Flag(vec![Flagged { uids: uids.to_vec(), ..change.clone() }]))?;
            }
        }
        Ok(())
    }

    fn identify(&mut self, identity: &Identity) -> Result<()> {
        self.done(&Ask::Identify(*identity))
    }

    fn attributes(&mut self, levels: &Levels) -> Result<Option<Vec<Attribute>>> {
        match self.ask(&Ask::Attributes(levels.clone()))? {
            Answer::Attributes(attributes) => Ok(attributes),
            other => Err(unexpected(&other)),
        }
    }

    fn set_attribute(&mut self, levels: &Levels, attribute: &Attribute, set: bool) -> Result<()> {
        self.done(&Ask::SetAttribute(levels.clone(), attribute.clone(), set))
    }

    fn message(&mut self, uid: u32) -> Result<Option<(Meta, Box<dyn Read + '_>)>> {
        match self.ask(&Ask::Message(uid))? {
            Answer::Message(None) => Ok(None),
            Answer::Message(Some(meta)) => {
                Ok(Some((meta, Box::new(Pieces::new(&mut self.line, answered_piece)))))
            }
            other => Err(unexpected(&other)),
        }
    }

    fn save(&mut self, meta: &Meta, body: &mut dyn Read) -> Result<()> {
        self.line.send(&Ask::Save(meta.clone()))?;
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return self.line.send(&Ask::PiecesEnd),
                Ok(count) => {
                    self.line.send(&Ask::Piece(buffer.get(..count).unwrap_or_default().to_vec()))?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", format!("UID {}", meta.uid), error)),
            }
        }
    }

    fn copy(&mut self, uid: u32, to: u32) -> Result<()> {
        self.line.send(&Ask::Copy(uid, to))
    }

    fn commit(&mut self) -> Result<Vec<u32>> {
        match self.ask(&Ask::Commit)? {
            Answer::Uids(uids) => Ok(uids),
            other => Err(unexpected(&other)),
        }
    }

    fn purge(&mut self) -> Result<()> {
        self.done(&Ask::Purge)
    }
}

/// Takes the next piece from the line; `None` after the last.
type Next<R, W> = fn(&mut Line<R, W>) -> std::io::Result<Option<Vec<u8>>>;

/// A message that comes in pieces. What is not read is thrown away.
struct Pieces<'a, R: Read, W: Write> {
    line: &'a mut Line<R, W>,
    next: Next<R, W>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<'a, R: Read, W: Write> Pieces<'a, R, W> {
    fn new(line: &'a mut Line<R, W>, next: Next<R, W>) -> Self {
        Self { line, next, piece: Vec::new(), at: 0, ended: false }
    }
}

fn asked_piece<R: Read, W: Write>(line: &mut Line<R, W>) -> std::io::Result<Option<Vec<u8>>> {
    match line.next().map_err(std::io::Error::other)? {
        Some(Ask::Piece(piece)) => Ok(Some(piece)),
        Some(Ask::PiecesEnd) => Ok(None),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

fn answered_piece<R: Read, W: Write>(line: &mut Line<R, W>) -> std::io::Result<Option<Vec<u8>>> {
    match line.next().map_err(std::io::Error::other)? {
        Some(Answer::Piece(piece)) => Ok(Some(piece)),
        Some(Answer::PiecesEnd) => Ok(None),
        Some(Answer::Failed(_, text)) => Err(std::io::Error::other(text)),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

impl<R: Read, W: Write> Read for Pieces<'_, R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at >= self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            let next = (self.next)(self.line);
            // After trouble nothing more comes.
            self.ended = !matches!(next, Ok(Some(_)));
            (self.piece, self.at) = (next?.unwrap_or_default(), 0);
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

impl<R: Read, W: Write> Drop for Pieces<'_, R, W> {
    fn drop(&mut self) {
        let _ = std::io::copy(self, &mut std::io::sink());
    }
}

/// Answers what the other end asks of the user's mail, until it hangs up: one of ours, or Dovecot's own.
pub(crate) fn serve(
    user: &Arc<MailUser>,
    mut input: impl Read,
    mut output: impl Write,
    report: &mut dyn Report,
) -> Result<()> {
    let said = output.write_all(greeting(true).as_bytes()).and_then(|()| output.flush());
    said.map_err(|error| Error::io("write", "dsync", error))?;
    let heard = hear_greeting(&mut input)?;
    if heard.starts_with(VERSION.as_bytes()) {
        let first = String::from_utf8_lossy(&heard).trim_end().to_owned();
        return original::serve::serve(user, Line3::new(input, output, &first)?, report);
    }
    check_greeting(&heard)?;
    let mut side = Local::new(user.clone(), &Scope::Inbox)?;
    let mut server = Server { line: Line::new(input, output), trouble: None };
    while let Some(ask) = server.line.next()? {
        let done = match ask {
            Ask::Scope(scope) => Local::new(user.clone(), &scope).and_then(|new| {
                side = new;
                server.line.send(&Answer::Done)
            }),
            ask => server.answer(&mut side, ask),
        };
        if let Err(error) = done {
            server.line.send(&failed(&error))?;
        }
        server.line.flush()?;
    }
    Ok(())
}

struct Server<R, W> {
    line: Line<R, W>,
    /// What went wrong while messages were saved.
    trouble: Option<Error>,
}

impl<R: Read, W: Write> Server<R, W> {
    fn answer(&mut self, side: &mut dyn Side, ask: Ask) -> Result<()> {
        match ask {
            Ask::Tree => return self.tree(side.tree()?),
            Ask::Open(levels, filter) => {
                self.trouble = None;
                return self.opened(side.open(&levels, &filter)?);
            }
            Ask::Message(uid) => return self.message(side, uid),
            Ask::Save(meta) => return self.save(side, &meta),
            Ask::Copy(uid, to) => {
                if self.trouble.is_none() {
                    self.trouble = side.copy(uid, to).err();
                }
                return Ok(());
            }
            Ask::Commit => {
                let uids = match self.trouble.take() {
                    Some(error) => return Err(error),
                    None => side.commit()?,
                };
                return self.line.send(&Answer::Uids(uids));
            }
            Ask::Create(levels, node) => side.create(&levels, node)?,
            Ask::Attributes(levels) => {
                let attributes = side.attributes(&levels)?;
                return self.line.send(&Answer::Attributes(attributes));
            }
            Ask::SetAttribute(levels, attribute, set) => side.set_attribute(&levels, &attribute, set)?,
            Ask::Delete(levels) => side.delete(&levels)?,
            Ask::Rename(from, to) => side.rename(&from, &to)?,
            Ask::Subscribe(levels, subscribed) => side.subscribe(&levels, subscribed)?,
            Ask::Expunge(uids) => side.expunge(&uids)?,
            Ask::Flag(changes) => side.flag(&changes)?,
            Ask::Identify(identity) => side.identify(&identity)?,
            Ask::Purge => side.purge()?,
            Ask::Piece(_) | Ask::PiecesEnd | Ask::Scope(_) => return Err(broken("A piece of no message")),
        }
        self.line.send(&Answer::Done)
    }

    fn tree(&mut self, mut tree: Tree) -> Result<()> {
        let nodes = std::mem::take(&mut tree.mailboxes);
        let names = std::mem::take(&mut tree.subscriptions);
        let bare = std::mem::take(&mut tree.nodes);
        self.line.send(&Answer::Tree(tree))?;
        nodes.chunks(PAGE).try_for_each(|page| self.line.send(&Answer::Nodes(page.to_vec())))?;
        bare.chunks(PAGE).try_for_each(|page| self.line.send(&Answer::Names(page.to_vec())))?;
        names.chunks(PAGE).try_for_each(|page| self.line.send(&Answer::Subscriptions(page.to_vec())))?;
        self.line.send(&Answer::Done)
    }

    fn opened(&mut self, mut opened: Opened) -> Result<()> {
        let messages = std::mem::take(&mut opened.messages);
        let expunged = std::mem::take(&mut opened.expunged);
        self.line.send(&Answer::Opened(opened))?;
        messages.chunks(PAGE).try_for_each(|page| self.line.send(&Answer::Messages(page.to_vec())))?;
        expunged.chunks(PAGE).try_for_each(|page| {
            self.line.send(&Answer::Opened(Opened { expunged: page.to_vec(), ..Opened::default() }))
        })?;
        self.line.send(&Answer::Done)
    }

    fn message(&mut self, side: &mut dyn Side, uid: u32) -> Result<()> {
        let Some((meta, mut body)) = side.message(uid)? else {
            return self.line.send(&Answer::Message(None));
        };
        self.line.send(&Answer::Message(Some(meta)))?;
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return self.line.send(&Answer::PiecesEnd),
                Ok(count) => {
                    self.line.send(&Answer::Piece(buffer.get(..count).unwrap_or_default().to_vec()))?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", format!("UID {uid}"), error)),
            }
        }
    }

    fn save(&mut self, side: &mut dyn Side, meta: &Meta) -> Result<()> {
        let mut body = Pieces::new(&mut self.line, asked_piece);
        if self.trouble.is_none() {
            self.trouble = side.save(meta, &mut body).err();
        }
        std::io::copy(&mut body, &mut std::io::sink())
            .map(drop)
            .map_err(|error| Error::io("read", "dsync", error))
    }
}

fn failed(error: &Error) -> Answer {
    let kind = match error.kind() {
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::Exists => Kind::Exists,
        ErrorKind::Permission => Kind::Permission,
        ErrorKind::Quota => Kind::Quota,
        ErrorKind::Params => Kind::Params,
        _ => Kind::Other,
    };
    let text = match kind {
        Kind::NotFound | Kind::Exists => match error {
            Error::NotFound(name) | Error::Exists(name) => name.clone(),
            error => error.to_string(),
        },
        _ => base::chain(error).to_string(),
    };
    Answer::Failed(kind, text)
}

fn told(kind: Kind, text: String) -> Error {
    match kind {
        Kind::NotFound => Error::NotFound(text),
        Kind::Exists => Error::Exists(text),
        Kind::Permission => Error::NoPermission(text),
        Kind::Quota => Error::QuotaExceeded(text),
        Kind::Params => Error::BadRequest(text),
        Kind::Other => broken(text),
    }
}

//! From lines to a [`Config`]: sections, filters, inclusion, `$variables` and files.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, ParseOptions, Part};
use crate::decl::{MapKind, SectionKind, roots};
use crate::error::{Diagnostic, Warning, nearest};
use crate::files::Files;
use crate::filter::{Mask, Network};
use crate::lex::{Lexer, Line};
use crate::limits;
use crate::old::Old;
use crate::tree::{Entry, MapEntry, Node, Source, escape};
use crate::value::Value;

/// One file being read.
struct Input {
    path: Arc<str>,
    lines: Vec<String>,
    next: usize,
}

/// One open section. The first is the file itself.
pub(crate) struct Frame {
    pub(crate) key: String,
    is_filter: bool,
    part: usize,
    /// The way from the part's root to the section.
    steps: Vec<Step>,
    /// The same as text, `service/imap/`; empty at the root of a part.
    pub(crate) path: String,
    open_file: Arc<str>,
    open_line: u32,
}

#[derive(Clone)]
enum Step {
    Section(SectionKind, usize),
    Map(MapKind),
    /// A section that only exists to be skipped over: an obsolete one.
    Nothing,
}

pub(crate) struct Parser<'a> {
    files: &'a dyn Files,
    options: &'a ParseOptions,
    wanted: u64,
    main: Arc<str>,
    inputs: Vec<Input>,
    included: usize,
    pub(crate) frames: Vec<Frame>,
    parts: Vec<Part>,
    pub(crate) warnings: Vec<Warning>,
    seen: HashMap<String, String>,
    unnamed: usize,
    settings: usize,
    sections: usize,
    pub(crate) old: Old,
}

/// Why a line is refused.
pub(crate) struct Refusal {
    pub(crate) message: String,
    help: Option<String>,
}

impl<T: Into<String>> From<T> for Refusal {
    fn from(message: T) -> Self {
        Self { message: message.into(), help: None }
    }
}

pub(crate) type Outcome<T = ()> = Result<T, Refusal>;

impl<'a> Parser<'a> {
    pub(crate) fn new(
        files: &'a dyn Files,
        main: &Path,
        options: &'a ParseOptions,
    ) -> Result<Self, Diagnostic> {
        let path: Arc<str> = main.to_string_lossy().into();
        let bytes = files.read(main).map_err(|error| {
            Diagnostic::unreadable(format!("open({path}) failed: {}", base::error::reason(&error)))
        })?;
        let root = Part { mask: Mask::default(), origin: path.to_string(), node: Node::root() };
        let frame = Frame {
            key: String::new(),
            is_filter: false,
            part: 0,
            steps: Vec::new(),
            path: String::new(),
            open_file: path.clone(),
            open_line: 0,
        };
        Ok(Self {
            files,
            options,
            wanted: options.modules.as_ref().map_or(u64::MAX, |modules| roots::wanted(modules)),
            main: path.clone(),
            inputs: vec![Input { path, lines: split_lines(&bytes), next: 0 }],
            included: 0,
            frames: vec![frame],
            parts: vec![root],
            warnings: Vec::new(),
            seen: HashMap::new(),
            unnamed: 0,
            settings: 0,
            sections: 0,
            old: Old::default(),
        })
    }

    pub(crate) fn run(mut self) -> Result<Config, Diagnostic> {
        let mut lexer = Lexer::default();
        while let Some(input) = self.inputs.last_mut() {
            let Some(raw) = input.lines.get_mut(input.next).map(std::mem::take) else {
                self.inputs.pop();
                continue;
            };
            input.next += 1;
            let too_long = raw.len() + lexer.pending_bytes() > limits::LINE_BYTES_MAX;
            let outcome = if too_long { Err("Line is too long".into()) } else { self.line(&mut lexer, &raw) };
            if let Err(refusal) = outcome {
                let (file, line) = self.place();
                let error = Diagnostic::at_line(&file, line, raw.trim_end().to_owned(), refusal.message);
                let error = match refusal.help {
                    Some(help) => error.with_help(help),
                    None => error,
                };
                return Err(error.after(self.warnings));
            }
        }
        let open = self.frames.last().filter(|_| self.frames.len() > 1);
        let unclosed = open.map(|frame| (frame.open_file.clone(), frame.open_line));
        Ok(Config {
            path: self.main,
            parts: self.parts,
            warnings: self.warnings,
            unclosed,
            missing_users: Vec::new(),
            modules: self.options.modules.clone(),
            defaults_only: false,
        })
    }

    fn line(&mut self, lexer: &mut Lexer, raw: &str) -> Outcome {
        let read = lexer.read(raw);
        if read.ambiguous_hash {
            let (file, line) = self.place();
            self.warnings.push(Warning::Text(format!(
                "Configuration file {file} line {line}: Ambiguous '#' character in line, treating it as comment. \
                 Add a space before it to remove this warning."
            )));
        }
        if self.obsolete_line(&read.line)? { Ok(()) } else { self.apply(read.line) }
    }

    /// Does what a line says.
    pub(crate) fn apply(&mut self, line: Line) -> Outcome {
        match line {
            Line::Skip | Line::Continue => Ok(()),
            Line::Error(message) => Err(message.into()),
            Line::Value(key, value) => {
                self.note(&key);
                self.set(&key, value, None)
            }
            Line::File(key, path) => {
                self.note(&key);
                self.set_from_file(&key, &path)
            }
            Line::Variables(key, text) => {
                self.note(&key);
                let value = self.expand(&key, &text)?;
                self.set(&key, value, None)
            }
            Line::Begin(key, name) => self.begin(&key, &name),
            Line::End if self.frames.len() == 1 => Err("Unexpected '}'".into()),
            Line::End => {
                self.frames.pop();
                Ok(())
            }
            Line::Include(pattern, optional) => self.include(&pattern, optional),
        }
    }

    /// File and line being read.
    pub(crate) fn place(&self) -> (Arc<str>, u32) {
        match self.inputs.last() {
            Some(input) => (input.path.clone(), u32::try_from(input.next).unwrap_or(u32::MAX)),
            None => (self.main.clone(), 0),
        }
    }

    pub(crate) fn frame(&self) -> &Frame {
        // Invariant: the file's own frame is never popped.
        &self.frames[self.frames.len() - 1]
    }

    /// The filter that holds where we are.
    pub(crate) fn mask(&self) -> &Mask {
        &self.parts[self.frame().part].mask
    }

    /// Warns of a global setting after a filter that set it too, which 2.3 does not change.
    fn note(&mut self, key: &str) {
        let full = format!("{}{key}", self.frame().path);
        let (file, line) = self.place();
        if self.frames.len() > 1 {
            self.seen.entry(full).or_insert_with(|| format!("{file} line {line}"));
        } else if let Some(first) = self.seen.get(&full) {
            self.warnings.push(Warning::Text(format!(
                "{file} line {line}: Global setting {key} won't change the setting inside an earlier filter at {first} \
                 (if this is intentional, avoid this warning by moving the global setting before {first})"
            )));
        }
    }

    fn node_mut(&mut self) -> (&mut Node, Option<MapKind>, bool) {
        let frame = &self.frames[self.frames.len() - 1];
        let mut node = &mut self.parts[frame.part].node;
        for step in &frame.steps {
            match step {
                Step::Section(kind, at) => {
                    node = &mut node.lists.get_mut(kind).expect("the section was made")[*at]
                }
                Step::Map(kind) => return (node, Some(*kind), false),
                Step::Nothing => return (node, None, true),
            }
        }
        (node, None, false)
    }

    /// Sets `key`, which may be a path such as `service/imap/client_limit`, to a value.
    pub(crate) fn set(&mut self, key: &str, value: String, from: Option<Arc<str>>) -> Outcome {
        self.settings += 1;
        if self.settings > limits::SETTINGS_MAX {
            return Err("Too many settings".into());
        }
        if key.is_empty() {
            return Err("Missing key name ('=' at the beginning of line)".into());
        }
        if self.set_known(key, &value, from)? { Ok(()) } else { Err(self.unknown(key)) }
    }

    /// Sets `key`; `false` if there is no such setting here.
    fn set_known(&mut self, key: &str, value: &str, from: Option<Arc<str>>) -> Outcome<bool> {
        let filtered = self.mask().is_local_or_remote();
        let (file, line) = self.place();
        let source = Source { file, line };
        let (node, map, nothing) = self.node_mut();
        if nothing || (map.is_some() && key.contains('/')) {
            return Ok(false);
        }
        if let Some(kind) = map {
            set_in_map(node, kind, key, value, source);
            return Ok(true);
        }
        let Some((node, target)) = locate(node, key) else { return Ok(false) };
        match target {
            Target::Setting(index) => {
                let decl = node.kind.decl(index);
                let roots = decl.roots & node.kind.roots();
                let value = Value::parse(decl, value).map_err(|error| error.0)?;
                // 2.3 knows auth settings in these filters, and refuses them.
                if filtered && roots & roots::AUTH != 0 {
                    return Err(
                        format!("Auth settings not supported inside local/remote blocks: {key}").into()
                    );
                }
                node.entries.insert(index, Entry { value, source: Some(source), file: from });
            }
            Target::MapItem(kind, name) => set_in_map(node, kind, &name, value, source),
            Target::Map(kind) => {
                node.maps.entry(kind).or_default();
            }
            Target::List(kind) => {
                for name in value.split([',', '\t', ' ']).filter(|name| !name.is_empty()) {
                    open_section(node, kind, name, None, &source)
                        .map_err(|refusal| refusal.message.replace("{}", key))?;
                }
            }
        }
        Ok(true)
    }

    fn unknown(&self, key: &str) -> Refusal {
        let open = self.frames.iter().filter(|frame| !frame.is_filter && !frame.key.is_empty());
        let path: String = open.map(|frame| format!("{} {{ ", frame.key)).collect();
        let kind = self.kind_here();
        let mut known: Vec<&str> = kind.decls().iter().map(|decl| decl.name).collect();
        known.extend(kind.children().iter().map(|kind| kind.word()));
        if kind == SectionKind::Root {
            known.extend(["plugin", "dict", "protocol", "local", "remote", "local_name"]);
        }
        let guess = nearest(key, known.into_iter()).map(|name| format!("did you mean {name}?"));
        Refusal {
            message: format!("Unknown setting: {path}{key}"),
            help: guess.or_else(|| self.elsewhere(kind, key)),
        }
    }

    /// A setting that exists, but belongs into another section.
    fn elsewhere(&self, here: SectionKind, key: &str) -> Option<String> {
        if here != SectionKind::Root && SectionKind::Root.index_of(key).is_some() {
            return Some(format!("{key} belongs outside of any section: is a '}}' missing?"));
        }
        let kinds = SectionKind::ALL.into_iter().filter(|kind| *kind != here && kind.index_of(key).is_some());
        let words: Vec<&str> = kinds.map(SectionKind::word).collect();
        (!words.is_empty()).then(|| format!("{key} exists in sections of kind {}", words.join(", ")))
    }

    fn kind_here(&self) -> SectionKind {
        let kind = self.frame().steps.iter().rev().find_map(|step| match step {
            Step::Section(kind, _) => Some(*kind),
            _ => None,
        });
        kind.unwrap_or(SectionKind::Root)
    }

    fn set_from_file(&mut self, key: &str, name: &str) -> Outcome {
        if !self.options.expand {
            return self.set(key, format!("<{name}"), None);
        }
        if self.options.modules.is_some() && !self.is_wanted(key) {
            return self.set(key, String::new(), None);
        }
        let path = self.relative(name);
        let full_key = format!("{}{key}", self.frame().path);
        let bytes = self.files.read(Path::new(&path)).map_err(|error| {
            format!("{full_key}: Can't open file {path}: {}", base::error::reason(&error))
        })?;
        if bytes.len() > limits::FILE_BYTES_MAX {
            return Err(format!("{full_key}: read({path}) failed: File too large").into());
        }
        let text = text_of(&bytes);
        self.set(key, text, Some(path.into()))
    }

    fn is_wanted(&mut self, key: &str) -> bool {
        let wanted = self.wanted;
        let (node, map, _) = self.node_mut();
        if let Some(kind) = map {
            return kind.roots() & wanted != 0;
        }
        match locate(node, key) {
            Some((node, Target::Setting(index))) => node.kind.decl(index).roots & wanted != 0,
            Some((_, Target::MapItem(kind, _) | Target::Map(kind))) => kind.roots() & wanted != 0,
            Some((_, Target::List(kind))) => kind.roots() & wanted != 0,
            None => false,
        }
    }

    /// A path relative to the file being read. 2.3 goes by its name, not by the directory.
    fn relative(&self, path: &str) -> String {
        let (file, _) = self.place();
        match file.rfind('/') {
            Some(slash) if !path.starts_with('/') => format!("{}{path}", &file[..=slash]),
            _ => path.to_owned(),
        }
    }

    /// Replaces `$name`s. `key = $key more` is always replaced, others only on demand.
    fn expand(&mut self, key: &str, text: &str) -> Outcome<String> {
        let mut out = String::new();
        let mut rest = text;
        loop {
            let (word, tail) = rest.split_once(' ').map_or((rest, None), |(word, tail)| (word, Some(tail)));
            match word.strip_prefix('$') {
                Some(name) if self.options.expand || name == key => self.variable(key, name, &mut out)?,
                _ => out.push_str(word),
            }
            if out.len() > limits::LINE_BYTES_MAX {
                return Err("Line is too long".into());
            }
            let Some(tail) = tail else { return Ok(out) };
            out.push(' ');
            rest = tail.trim_start_matches([' ', '\t']);
        }
    }

    fn variable(&mut self, key: &str, name: &str, out: &mut String) -> Outcome {
        if let Some(variable) = name.strip_prefix("ENV:") {
            out.push_str(&self.files.env(variable).unwrap_or_default());
            return Ok(());
        }
        let unknown = || Refusal::from(format!("Unknown variable: ${name}"));
        let mut at = self.frames.len() - 1;
        loop {
            let frame = &self.frames[at];
            let node = &mut self.parts[frame.part].node;
            let (node, target) = locate(node, name).ok_or_else(unknown)?;
            let Target::Setting(index) = target else {
                return Err(match target {
                    Target::List(_) => format!("Invalid variable: ${name}").into(),
                    Target::Map(_) => format!("Invalid variable: ${name}").into(),
                    _ => unknown(),
                });
            };
            // Only `key = $key` looks in the sections around; every other one takes the default.
            if name != key || at == 0 || node.is_set(index) {
                let decl = node.kind.decl(index);
                out.push_str(&node.value(index).show(decl.kind).to_string());
                return Ok(());
            }
            at -= 1;
        }
    }

    pub(crate) fn begin(&mut self, key: &str, name: &str) -> Outcome {
        self.sections += 1;
        if self.frames.len() > limits::SECTION_DEPTH_MAX || self.sections > limits::SECTIONS_MAX {
            return Err("Too many sections".into());
        }
        let (file, line) = self.place();
        let parent = self.frame();
        let frame = Frame {
            key: key.to_owned(),
            is_filter: false,
            part: parent.part,
            steps: parent.steps.clone(),
            path: parent.path.clone(),
            open_file: file.clone(),
            open_line: line,
        };
        if matches!(key, "protocol" | "local" | "local_name" | "remote") {
            return self.begin_filter(frame, name);
        }
        let path_name = if name.is_empty() {
            self.unnamed += 1;
            (self.unnamed - 1).to_string()
        } else {
            escape(name)
        };
        self.begin_section(frame, name, path_name, &Source { file, line })
    }

    /// A section that is read for what stands in it, but is none any more.
    pub(crate) fn begin_nothing(&mut self, key: &str) {
        let (file, line) = self.place();
        let parent = self.frame();
        let mut frame = Frame {
            key: key.to_owned(),
            is_filter: true,
            part: parent.part,
            steps: parent.steps.clone(),
            path: parent.path.clone(),
            open_file: file,
            open_line: line,
        };
        if self.old.in_socket() {
            frame.steps.push(Step::Nothing);
        }
        self.frames.push(frame);
    }

    fn begin_section(&mut self, mut frame: Frame, name: &str, path_name: String, source: &Source) -> Outcome {
        let full = format!("{}{}", frame.path, frame.key);
        let opened = self.open(&frame.key, &full, name, &path_name, source)?;
        let key = frame.key.clone();
        frame.path = format!("{full}/{path_name}/");
        let known = opened.map(|step| frame.steps.push(step));
        self.frames.push(frame);
        // 2.3 names the section twice: it is open already.
        if known.is_some() { Ok(()) } else { Err(self.unknown(&key)) }
    }

    /// Makes a section, or finds it; `None` if there is no such section here.
    fn open(
        &mut self,
        key: &str,
        full: &str,
        name: &str,
        path_name: &str,
        source: &Source,
    ) -> Outcome<Option<Step>> {
        let filtered = self.mask().is_local_or_remote();
        let (node, map, nothing) = self.node_mut();
        if nothing {
            return Ok(None);
        }
        if map.is_some() {
            return Err("Section not allowed here".into());
        }
        if let Some(kind) = MapKind::find(key).filter(|_| node.kind == SectionKind::Root) {
            node.maps.entry(kind).or_default();
            return Ok(Some(Step::Map(kind)));
        }
        let Some(kind) = node.kind.child(key) else {
            let is_setting = node.kind.index_of(key).is_some();
            return if is_setting { Err("Section not allowed here".into()) } else { Ok(None) };
        };
        if filtered && kind.roots() & roots::AUTH != 0 {
            return Err(format!("Auth settings not supported inside local/remote blocks: {key}").into());
        }
        let at = open_section(node, kind, path_name, Some(name), source)
            .map_err(|refusal| Refusal { message: refusal.message.replace("{}", full), help: None })?;
        Ok(Some(Step::Section(kind, at)))
    }

    fn begin_filter(&mut self, mut frame: Frame, name: &str) -> Outcome {
        let mask = self.narrow(&frame.key, name)?;
        frame.is_filter = true;
        frame.part = match self.parts.iter().position(|part| part.mask.is_same(&mask)) {
            Some(at) => at,
            None if self.parts.len() >= limits::FILTERS_MAX => return Err("Too many filters".into()),
            None => {
                let origin = format!("{}:{}", frame.open_file, frame.open_line);
                self.parts.push(Part { mask, origin, node: Node::new(SectionKind::Root, String::new()) });
                self.parts.len() - 1
            }
        };
        // A filter inside a section keeps the section's path: make the same sections there.
        self.mirror(&mut frame);
        self.frames.push(frame);
        Ok(())
    }

    fn mirror(&mut self, frame: &mut Frame) {
        let from = self.frame();
        let mut names = Vec::new();
        let mut node = &self.parts[from.part].node;
        for step in &from.steps {
            if let Step::Section(kind, at) = step {
                node = &node.list(*kind)[*at];
                names.push((*kind, node.path_name.clone(), node.name().to_owned()));
            }
        }
        let mut names = names.into_iter();
        let source = Source { file: frame.open_file.clone(), line: frame.open_line };
        let mut node = &mut self.parts[frame.part].node;
        for step in &mut frame.steps {
            let (Step::Section(_, at), Some((kind, path_name, name))) = (step, names.next()) else { break };
            let found = node.list(kind).iter().position(|has| has.path_name.eq_ignore_ascii_case(&path_name));
            *at = found.unwrap_or_else(|| push_section(node, kind, &path_name, Some(&name), &source));
            node = &mut node.lists.get_mut(&kind).expect("the section was made")[*at];
        }
    }

    fn narrow(&self, key: &str, name: &str) -> Outcome<Mask> {
        let parent = self.mask();
        let mut mask = parent.clone();
        let refuse = |inner: &str, outer: &str| {
            Err(format!(
                "{outer} {{ {inner} {{ .. }} }} not allowed (use {inner} {{ {outer} {{ .. }} }} instead)"
            )
            .into())
        };
        match key {
            "protocol" if parent.protocol.is_some() => {
                return Err("Nested protocol { protocol { .. } } block not allowed".into());
            }
            "protocol" => mask.protocol = Some(name.to_owned()),
            "local" | "local_name" if parent.remote.is_some_and(|net| net.bits > 0) => {
                return refuse(key, "remote");
            }
            _ if parent.protocol.is_some() => return refuse(key, "protocol"),
            "local" if parent.local_name.is_some() => return refuse(key, "local_name"),
            "local" => mask.local = Some(self.network(name, parent.local, key)?),
            "local_name" => mask.local_name = Some(name.to_owned()),
            _ => mask.remote = Some(self.network(name, parent.remote, key)?),
        }
        Ok(mask)
    }

    fn network(&self, text: &str, outer: Option<Network>, word: &str) -> Outcome<Network> {
        let net = match Network::parse(text) {
            Some(net) => net,
            None => self.resolve(text)?,
        };
        let inside =
            outer.is_none_or(|outer| outer.bits == 0 || (outer.bits <= net.bits && outer.contains(net.ip)));
        if inside {
            return Ok(net);
        }
        Err(format!("{word} net1 {{ {word} net2 {{ .. }} }} requires net2 to be inside net1").into())
    }

    fn resolve(&self, text: &str) -> Outcome<Network> {
        let (host, bits) = text.split_once('/').map_or((text, None), |(host, bits)| (host, Some(bits)));
        let unknown = |reason: &str| format!("gethostbyname({host}) failed: {reason}");
        let ips: Vec<IpAddr> = self.files.resolve(host).map_err(|_| unknown("Name or service not known"))?;
        let ip = ips.first().ok_or_else(|| unknown("Name or service not known"))?;
        Ok(Network::of(*ip, bits)
            .ok_or_else(|| format!("Invalid network mask: {}", bits.unwrap_or_default()))?)
    }

    fn include(&mut self, pattern: &str, optional: bool) -> Outcome {
        let pattern = self.relative(pattern);
        let found = self.files.glob(&pattern).map_err(|_| "glob() failed: Read error")?;
        if found.is_empty() && !optional {
            return Err("No matches".into());
        }
        // The last one is pushed first, so that the first is read first.
        for path in found.iter().rev() {
            let name: Arc<str> = path.to_string_lossy().into();
            if self.inputs.iter().any(|input| input.path == name) {
                return Err(format!("Recursive include file: {name}").into());
            }
            self.included += 1;
            if self.inputs.len() >= limits::INCLUDE_DEPTH_MAX + found.len()
                || self.included > limits::INCLUDES_MAX
            {
                return Err("Too many include files".into());
            }
            let bytes = match self.files.read(path) {
                Ok(bytes) => bytes,
                Err(_) if optional => continue,
                Err(error) => {
                    let reason = base::error::reason(&error);
                    return Err(format!("Couldn't open include file {name}: {reason}").into());
                }
            };
            self.inputs.push(Input { path: name, lines: split_lines(&bytes), next: 0 });
        }
        Ok(())
    }
}

/// What a key leads to.
enum Target {
    Setting(u16),
    List(SectionKind),
    Map(MapKind),
    MapItem(MapKind, String),
}

/// Follows a key, which may be a path, from a section.
fn locate<'n>(node: &'n mut Node, key: &str) -> Option<(&'n mut Node, Target)> {
    let Some((word, rest)) = key.split_once('/') else {
        if let Some(index) = node.kind.index_of(key) {
            return Some((node, Target::Setting(index)));
        }
        if let Some(kind) = node.kind.child(key) {
            return Some((node, Target::List(kind)));
        }
        let map = MapKind::find(key).filter(|_| node.kind == SectionKind::Root)?;
        return Some((node, Target::Map(map)));
    };
    if let Some(map) = MapKind::find(word).filter(|_| node.kind == SectionKind::Root) {
        return (!rest.contains('/')).then(|| (node, Target::MapItem(map, rest.to_owned())));
    }
    let kind = node.kind.child(word)?;
    let (name, rest) = rest.split_once('/')?;
    let at = node.list(kind).iter().position(|has| has.path_name.eq_ignore_ascii_case(name));
    let at = match at {
        Some(at) => at,
        // Filters hold only what is set in them; the built-in services are there all the same.
        None if is_builtin(kind, name) => {
            let source = Source { file: "".into(), line: 0 };
            push_section(node, kind, name, Some(name), &source)
        }
        None => return None,
    };
    locate(node.lists.get_mut(&kind)?.get_mut(at)?, rest)
}

fn is_builtin(kind: SectionKind, name: &str) -> bool {
    kind == SectionKind::Service && crate::decl::services::BuiltinService::find(name).is_some()
}

/// Opens a section of a name again, or makes it. In errors, `{}` stands for the way to it.
fn open_section(
    node: &mut Node,
    kind: SectionKind,
    path_name: &str,
    name: Option<&str>,
    source: &Source,
) -> Outcome<usize> {
    let found = node.list(kind).iter().position(|has| has.path_name.eq_ignore_ascii_case(path_name));
    let Some(at) = found else { return Ok(push_section(node, kind, path_name, name, source)) };
    if !kind.is_unique() {
        return Err(format!("{{}}/{path_name} already exists").into());
    }
    if let (Some(name), Some(index)) = (name, kind.name_index())
        && let Some(section) = node.lists.get_mut(&kind).and_then(|list| list.get_mut(at))
    {
        section.entries.insert(index, name_entry(name, source));
    }
    Ok(at)
}

fn push_section(
    node: &mut Node,
    kind: SectionKind,
    path_name: &str,
    name: Option<&str>,
    source: &Source,
) -> usize {
    let mut section = Node::new(kind, path_name.to_owned());
    if let (Some(name), Some(index)) = (name, kind.name_index()) {
        section.entries.insert(index, name_entry(name, source));
    }
    let list = node.lists.entry(kind).or_default();
    list.push(section);
    list.len() - 1
}

fn name_entry(name: &str, source: &Source) -> Entry {
    Entry { value: Value::Text(name.into()), source: Some(source.clone()), file: None }
}

fn set_in_map(node: &mut Node, kind: MapKind, name: &str, value: &str, source: Source) {
    let map = node.maps.entry(kind).or_default();
    let entry = MapEntry { name: name.to_owned(), value: value.to_owned(), source };
    match map.iter_mut().find(|has| has.name == name) {
        Some(has) => *has = entry,
        None => map.push(entry),
    }
}

/// Splits at newlines; a carriage return before one is none of the line. A NUL ends a line early,
/// as it does for 2.3.
fn split_lines(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let plain = |line: &&[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
        text_of(&line[..end])
    };
    lines.iter().map(plain).collect()
}

/// Settings are text. Bytes that are no UTF-8 only occur in comments and old greetings.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

//! The accepting side of GSSAPI (RFC 2743, RFC 2744) with MIT Kerberos. Its libraries are loaded when
//! they are first needed, so that the executable starts on systems without them. All of it blocks: it
//! reads keytabs, writes the replay cache and looks into home directories.

mod library;

use std::ffi::{CString, c_void};
use std::ptr;

use library::{Buffer, Context, Credential, Library, Name, OidPointer};

/// `GSS_S_CONTINUE_NEEDED`
const CONTINUE_NEEDED: u32 = 1;
const CODE_OF_LIBRARY: i32 = 1;
const CODE_OF_MECHANISM: i32 = 2;
const USAGE_ACCEPT: i32 = 2;
/// Lines that the library may have to say about one error.
const STATUS_LINES_MAX: usize = 16;

/// 1.2.840.113554.1.2.1.4, `GSS_C_NT_HOSTBASED_SERVICE`
const HOSTBASED_SERVICE: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04";
/// 1.2.840.113554.1.2.2, the mechanism
const KERBEROS: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// 1.2.840.113554.1.2.2.1, `GSS_KRB5_NT_PRINCIPAL_NAME`
const PRINCIPAL_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01";

/// Why something could not be done. The texts are those of Dovecot's log lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GssError {
    /// The libraries are not installed.
    #[error("Kerberos can't be loaded: {0}")]
    Missing(String),
    /// The library refused.
    #[error("While {step}: {}", said.join(", "))]
    Refused {
        /// What was being done.
        step: &'static str,
        /// What the library, and the mechanism in it, say about it.
        said: Vec<String>,
    },
    /// Nothing the library is to blame for.
    #[error("{0}")]
    Other(String),
}

impl GssError {
    /// A log line for each thing that was said.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Refused { step, said } => said.iter().map(|text| format!("While {step}: {text}")).collect(),
            other => vec![other.to_string()],
        }
    }
}

/// What came of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What goes to the client; nothing if empty.
    pub token: Vec<u8>,
    /// Who it is, once that is clear.
    pub peer: Option<String>,
}

/// Whether the libraries can be loaded.
///
/// # Errors
/// They can't.
pub fn load() -> Result<(), GssError> {
    Library::get().map(|_| ()).map_err(|text| GssError::Missing(text.to_owned()))
}

/// The service's side of one client's exchange.
pub struct Acceptor {
    library: &'static Library,
    credential: Credential,
    context: Context,
    peer: Name,
}

// SAFETY: the handles are the acceptor's own, and MIT Kerberos lets different threads use them one
// after the other.
unsafe impl Send for Acceptor {}

impl Acceptor {
    /// With the key of `service@host` out of the keytab, or any of its keys for `None`. An empty
    /// `keytab` is the system's.
    ///
    /// # Errors
    /// There is no such key, or no library.
    pub fn new(service: Option<&str>, keytab: &str) -> Result<Self, GssError> {
        let library = Library::get().map_err(|text| GssError::Missing(text.to_owned()))?;
        let (credential, context, peer) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let mut acceptor = Self { library, credential, context, peer };
        if !keytab.is_empty() {
            let path =
                CString::new(keytab).map_err(|_| GssError::Other("NUL in the keytab's path".into()))?;
            // SAFETY: a C string, which the library copies, under a lock of its own.
            unsafe { (library.register_acceptor_identity)(path.as_ptr()) };
        }
        if let Some(service) = service {
            acceptor.acquire(service)?;
        }
        Ok(acceptor)
    }

    fn acquire(&mut self, service: &str) -> Result<(), GssError> {
        let mut oid = library::oid(HOSTBASED_SERVICE);
        let mut name = self.import(service.as_bytes(), &mut oid, "importing principal name")?;
        let mut minor = 0;
        // SAFETY: the name is live; null stands for any mechanism and for results that are not wanted.
        let major = unsafe {
            (self.library.acquire_cred)(
                &mut minor,
                name,
                0,
                ptr::null_mut(),
                USAGE_ACCEPT,
                &mut self.credential,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        self.release(&mut name);
        self.check(major, Some(minor), "acquiring service credentials")
    }

    /// Takes a token of the client's.
    ///
    /// # Errors
    /// It is none, or not from whom it should be.
    pub fn accept(&mut self, token: &[u8]) -> Result<Accepted, GssError> {
        let (mut minor, mut input, mut output) = (0, Buffer::of(token), Buffer::empty());
        let mut mechanism: OidPointer = ptr::null_mut();
        // SAFETY: context, credential and name belong to this acceptor; the input outlives the call;
        // null stands for no channel bindings and for results that are not wanted.
        let major = unsafe {
            (self.library.accept_sec_context)(
                &mut minor,
                &mut self.context,
                self.credential,
                &mut input,
                ptr::null_mut(),
                &mut self.peer,
                &mut mechanism,
                &mut output,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let token = self.take(&mut output);
        self.check(major, Some(minor), "processing incoming data")?;
        if major & CONTINUE_NEEDED != 0 {
            return Ok(Accepted { token, peer: None });
        }
        if library::oid_bytes(mechanism) != Some(KERBEROS) {
            return Err(GssError::Other("GSSAPI mechanism not Kerberos5".into()));
        }
        let (peer, _) = self.display(self.peer)?;
        Ok(Accepted { token, peer: Some(peer) })
    }

    /// Wraps a message without encryption.
    ///
    /// # Errors
    /// The exchange is not that far.
    pub fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, GssError> {
        let (mut minor, mut input, mut output) = (0, Buffer::of(message), Buffer::empty());
        // SAFETY: the context is this acceptor's, the input outlives the call.
        let major = unsafe {
            (self.library.wrap)(&mut minor, self.context, 0, 0, &mut input, ptr::null_mut(), &mut output)
        };
        let wrapped = self.take(&mut output);
        self.check(major, Some(minor), "sending security layer negotiation").map(|()| wrapped)
    }

    /// Takes a message out of its wrapping.
    ///
    /// # Errors
    /// It is not the client's.
    pub fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, GssError> {
        let (mut minor, mut input, mut output) = (0, Buffer::of(message), Buffer::empty());
        // SAFETY: as above.
        let major = unsafe {
            (self.library.unwrap)(
                &mut minor,
                self.context,
                &mut input,
                &mut output,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let unwrapped = self.take(&mut output);
        self.check(major, None, "final negotiation: gss_unwrap").map(|()| unwrapped)
    }

    /// Whether `name` is who the client is, in any way of writing it.
    ///
    /// # Errors
    /// There is no such name.
    pub fn is_peer(&self, name: &[u8]) -> Result<bool, GssError> {
        let mut name = self.import(name, ptr::null_mut(), "gss_import_name")?;
        let (mut minor, mut equal) = (0, 0);
        // SAFETY: both names are live.
        let major = unsafe { (self.library.compare_name)(&mut minor, self.peer, name, &mut equal) };
        self.release(&mut name);
        self.check(major, None, "gss_compare_name failed").map(|()| equal != 0)
    }

    /// The client's principal, if it is one of Kerberos.
    ///
    /// # Errors
    /// It is not.
    pub fn principal(&self) -> Result<String, GssError> {
        match self.display(self.peer)? {
            (principal, kind) if kind.as_deref() == Some(PRINCIPAL_NAME) => Ok(principal),
            _ => Err(GssError::Other("OID not kerberos principal name".into())),
        }
    }

    fn import(&self, name: &[u8], kind: OidPointer, step: &'static str) -> Result<Name, GssError> {
        let (mut minor, mut input, mut imported) = (0, Buffer::of(name), ptr::null_mut());
        // SAFETY: the input and the kind outlive the call.
        let major = unsafe { (self.library.import_name)(&mut minor, &mut input, kind, &mut imported) };
        self.check(major, None, step).map(|()| imported)
    }

    /// A name as text, and its kind.
    fn display(&self, name: Name) -> Result<(String, Option<Vec<u8>>), GssError> {
        let (mut minor, mut output, mut kind) = (0, Buffer::empty(), ptr::null_mut());
        // SAFETY: the name is live; the kind is a constant of the library.
        let major = unsafe { (self.library.display_name)(&mut minor, name, &mut output, &mut kind) };
        let mut text = self.take(&mut output);
        self.check(major, None, "gss_display_name")?;
        // Some libraries count the NUL at the end.
        text.pop_if(|byte| *byte == 0);
        if text.contains(&0) {
            return Err(GssError::Other("authn_name has NULs".into()));
        }
        let text = String::from_utf8(text).map_err(|_| GssError::Other("authn_name is not UTF-8".into()))?;
        Ok((text, library::oid_bytes(kind).map(<[u8]>::to_vec)))
    }

    fn check(&self, major: u32, minor: Option<u32>, step: &'static str) -> Result<(), GssError> {
        // Calling and routine errors are in the upper half.
        if major & 0xffff_0000 == 0 {
            return Ok(());
        }
        let mut said = self.status(major, CODE_OF_LIBRARY);
        said.extend(minor.map(|minor| self.status(minor, CODE_OF_MECHANISM)).unwrap_or_default());
        Err(GssError::Refused { step, said })
    }

    fn status(&self, code: u32, kind: i32) -> Vec<String> {
        let (mut more, mut lines) = (0, Vec::new());
        loop {
            let (mut minor, mut output) = (0, Buffer::empty());
            // SAFETY: null stands for the mechanism that was used; `more` is the library's own.
            let major = unsafe {
                (self.library.display_status)(&mut minor, code, kind, ptr::null_mut(), &mut more, &mut output)
            };
            let text = self.take(&mut output);
            if major != 0 {
                lines.push(format!("error {code}"));
                return lines;
            }
            lines.push(String::from_utf8_lossy(&text).into_owned());
            if more == 0 || lines.len() >= STATUS_LINES_MAX {
                return lines;
            }
        }
    }

    /// The content of a buffer that the library filled, which is given back.
    fn take(&self, buffer: &mut Buffer) -> Vec<u8> {
        // SAFETY: the library filled it, and nobody has it yet.
        let content = unsafe { buffer.bytes() }.to_vec();
        let mut minor = 0;
        // SAFETY: as above; afterwards it is empty.
        unsafe { (self.library.release_buffer)(&mut minor, buffer) };
        content
    }

    fn release(&self, name: &mut Name) {
        let mut minor = 0;
        if !name.is_null() {
            // SAFETY: the name is live, and null afterwards.
            unsafe { (self.library.release_name)(&mut minor, name) };
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        let mut minor = 0;
        let mut peer = std::mem::replace(&mut self.peer, ptr::null_mut());
        self.release(&mut peer);
        if !self.context.is_null() {
            // SAFETY: the context is live, and nobody else has it.
            unsafe { (self.library.delete_sec_context)(&mut minor, &mut self.context, ptr::null_mut()) };
        }
        if !self.credential.is_null() {
            // SAFETY: as above.
            unsafe { (self.library.release_cred)(&mut minor, &mut self.credential) };
        }
    }
}

/// Whether a principal may act as a user of this system: its `~/.k5login` says so, or the user is what
/// `auth_to_local` of `krb5.conf` makes of the principal.
///
/// # Errors
/// It is no principal, or there is no library.
pub fn is_user(principal: &str, user: &str) -> Result<bool, GssError> {
    let library = Library::get().map_err(|text| GssError::Missing(text.to_owned()))?;
    let nul = |_| GssError::Other("NUL in a name".into());
    let (principal, user) = (CString::new(principal).map_err(nul)?, CString::new(user).map_err(nul)?);
    let mut context: *mut c_void = ptr::null_mut();
    // SAFETY: the context is freed below.
    let status = unsafe { (library.init_context)(&mut context) };
    if status != 0 {
        return Err(GssError::Other(format!("krb5_init_context() failed: {status}")));
    }
    let mut parsed: *mut c_void = ptr::null_mut();
    // SAFETY: the context is live, the name is a C string.
    let status = unsafe { (library.parse_name)(context, principal.as_ptr(), &mut parsed) };
    let answer = match status {
        // SAFETY: context and principal are live, the user is a C string.
        0 => Ok(unsafe { (library.kuserok)(context, parsed, user.as_ptr()) } != 0),
        status => Err(GssError::Other(format!("krb5_parse_name() failed: {status}"))),
    };
    if !parsed.is_null() {
        // SAFETY: it is live, and not used any more.
        unsafe { (library.free_principal)(context, parsed) };
    }
    // SAFETY: as above.
    unsafe { (library.free_context)(context) };
    answer
}

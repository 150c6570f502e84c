//! Pluggable authentication modules. The library is loaded when it is first needed, so that the
//! executable starts on systems without it. All of it blocks, some of it for seconds.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use zeroize::Zeroize;

use crate::dynamic::last_error;

const SUCCESS: c_int = 0;
const BUF_ERR: c_int = 5;
const CONV_ERR: c_int = 19;
const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
const ERROR_MSG: c_int = 3;
const TEXT_INFO: c_int = 4;
const ITEM_USER: c_int = 2;
const ITEM_TTY: c_int = 3;
const ITEM_RHOST: c_int = 4;
const ITEM_RUSER: c_int = 8;
const ESTABLISH_CRED: c_int = 2;
/// Linux-PAM's limit for messages in one call, `PAM_MAX_NUM_MSG`.
const MESSAGES_MAX: c_int = 32;

/// What to ask, and what else to do.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// The service, a file in `/etc/pam.d`.
    pub service: &'q str,
    /// Who wants to log in.
    pub user: &'q str,
    /// The password. A NUL in it is refused.
    pub password: &'q [u8],
    /// The client's address.
    pub remote_host: Option<&'q str>,
    /// Whether credentials are established after the authentication.
    pub setcred: bool,
    /// Whether a session is opened, and closed at once.
    pub session: bool,
}

/// What the modules said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, and the user's name, which a module may have changed.
    Accepted(String),
    /// No, or they could not say.
    Refused {
        /// The function that failed.
        step: &'static str,
        /// What it said.
        reason: Reason,
        /// The same in the library's words.
        text: String,
    },
}

/// Why something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `PAM_AUTH_ERR`
    WrongPassword,
    /// `PAM_USER_UNKNOWN`
    UnknownUser,
    /// `PAM_NEW_AUTHTOK_REQD` or `PAM_ACCT_EXPIRED`
    Expired,
    /// Anything else.
    Other,
}

/// An answer and what came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The answer.
    pub answer: Answer,
    /// The last prompt for a password.
    pub prompt: Option<String>,
    /// Everything that modules said, in 2.3's words for debug lines.
    pub messages: Vec<String>,
}

/// Why PAM could not be asked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PamError {
    /// The library is not installed.
    #[error("libpam can't be loaded: {0}")]
    Library(String),
    /// A NUL in a name or password.
    #[error("NUL in {0}")]
    Nul(&'static str),
    /// `pam_start()` failed.
    #[error("pam_start() failed: {0}")]
    Start(String),
    /// `pam_end()` failed.
    #[error("pam_end() failed: {0}")]
    End(String),
}

/// Asks the modules of a service.
///
/// # Errors
/// They could not be asked.
pub fn ask(question: &Question<'_>) -> Result<Conversation, PamError> {
    let library = Library::get().map_err(|text| PamError::Library(text.to_owned()))?;
    let text = |what, bytes: &[u8]| CString::new(bytes).map_err(|_| PamError::Nul(what));
    let service = text("service", question.service.as_bytes())?;
    let user = text("user", question.user.as_bytes())?;
    let mut talk = Talk {
        user: user.clone(),
        password: text("password", question.password)?,
        prompt: None,
        messages: Vec::new(),
    };
    let answer = library.ask(question, &service, &user, &mut talk);
    let mut secret = std::mem::take(&mut talk.password).into_bytes();
    secret.zeroize();
    Ok(Conversation { answer: answer?, prompt: talk.prompt.take(), messages: talk.messages })
}

/// What the conversation function works on.
struct Talk {
    user: CString,
    password: CString,
    prompt: Option<String>,
    messages: Vec<String>,
}

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = unsafe extern "C" fn(c_int, *const *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conv {
    converse: Converse,
    data: *mut c_void,
}

type Start = unsafe extern "C" fn(*const c_char, *const c_char, *const Conv, *mut *mut Handle) -> c_int;
type WithFlags = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
type SetItem = unsafe extern "C" fn(*mut Handle, c_int, *const c_void) -> c_int;
type GetItem = unsafe extern "C" fn(*const Handle, c_int, *mut *const c_void) -> c_int;
type StrError = unsafe extern "C" fn(*mut Handle, c_int) -> *const c_char;

/// The library's functions.
struct Library {
    start: Start,
    end: WithFlags,
    authenticate: WithFlags,
    setcred: WithFlags,
    acct_mgmt: WithFlags,
    open_session: WithFlags,
    close_session: WithFlags,
    set_item: SetItem,
    get_item: GetItem,
    strerror: StrError,
}

impl Library {
    fn get() -> Result<&'static Self, &'static str> {
        static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
        LIBRARY.get_or_init(Self::load).as_ref().map_err(String::as_str)
    }

    fn load() -> Result<Self, String> {
        // SAFETY: the name is a C string. The initializers of libpam ask for nothing. It is never
        // unloaded, so that its functions stay.
        let loaded = unsafe { libc::dlopen(c"libpam.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        if loaded.is_null() {
            return Err(last_error());
        }
        // SAFETY: each symbol is a function of libpam with the signature that pam_appl.h gives it.
        unsafe {
            Ok(Self {
                start: std::mem::transmute::<*mut c_void, Start>(symbol(c"pam_start")?),
                end: std::mem::transmute::<*mut c_void, WithFlags>(symbol(c"pam_end")?),
                authenticate: std::mem::transmute::<*mut c_void, WithFlags>(symbol(c"pam_authenticate")?),
                setcred: std::mem::transmute::<*mut c_void, WithFlags>(symbol(c"pam_setcred")?),
                acct_mgmt: std::mem::transmute::<*mut c_void, WithFlags>(symbol(c"pam_acct_mgmt")?),
                open_session: std::mem::transmute::<*mut c_void, WithFlags>(symbol(c"pam_open_session")?),
                close_session: std::mem::transmute::<*mut c_void, WithFlags>(symbol(c"pam_close_session")?),
                set_item: std::mem::transmute::<*mut c_void, SetItem>(symbol(c"pam_set_item")?),
                get_item: std::mem::transmute::<*mut c_void, GetItem>(symbol(c"pam_get_item")?),
                strerror: std::mem::transmute::<*mut c_void, StrError>(symbol(c"pam_strerror")?),
            })
        }
    }

    fn ask(
        &self,
        question: &Question<'_>,
        service: &CStr,
        user: &CStr,
        talk: &mut Talk,
    ) -> Result<Answer, PamError> {
        let conv = Conv { converse, data: ptr::from_mut(talk).cast() };
        let mut handle: *mut Handle = ptr::null_mut();
        // SAFETY: the strings and the conversation outlive the handle, which ends in this function;
        // nobody else touches `talk` until then.
        let status = unsafe { (self.start)(service.as_ptr(), user.as_ptr(), &conv, &mut handle) };
        if status != SUCCESS || handle.is_null() {
            return Err(PamError::Start(self.text(handle, status)));
        }
        self.set_items(handle, question, user);
        let (answer, status) = match self.steps(handle, question) {
            Ok(name) => (Answer::Accepted(name), SUCCESS),
            Err((step, status)) => {
                let text = self.text(handle, status);
                (Answer::Refused { step, reason: reason(status), text }, status)
            }
        };
        // SAFETY: the handle is live, and not used after this.
        match unsafe { (self.end)(handle, status) } {
            SUCCESS => Ok(answer),
            status => Err(PamError::End(self.text(ptr::null_mut(), status))),
        }
    }

    /// What modules may want to know. It does not matter if they can't be told.
    fn set_items(&self, handle: *mut Handle, question: &Question<'_>, user: &CStr) {
        let host = question.remote_host.and_then(|host| CString::new(host).ok());
        let items = [
            host.as_deref().map(|host| (ITEM_RHOST, host)),
            Some((ITEM_RUSER, user)),
            // pam_access needs one.
            Some((ITEM_TTY, c"dovecot")),
        ];
        for (item, value) in items.into_iter().flatten() {
            // SAFETY: the handle is live; the library copies the string.
            let _ = unsafe { (self.set_item)(handle, item, value.as_ptr().cast()) };
        }
    }

    fn steps(&self, handle: *mut Handle, question: &Question<'_>) -> Result<String, (&'static str, c_int)> {
        let steps: [(bool, &'static str, WithFlags, c_int); 5] = [
            (true, "pam_authenticate", self.authenticate, 0),
            (question.setcred, "pam_setcred", self.setcred, ESTABLISH_CRED),
            (true, "pam_acct_mgmt", self.acct_mgmt, 0),
            (question.session, "pam_open_session", self.open_session, 0),
            (question.session, "pam_close_session", self.close_session, 0),
        ];
        for (_, name, function, flags) in steps.into_iter().filter(|(wanted, ..)| *wanted) {
            // SAFETY: the handle is live.
            match unsafe { function(handle, flags) } {
                SUCCESS => {}
                status => return Err((name, status)),
            }
        }
        let mut item: *const c_void = ptr::null();
        // SAFETY: the handle is live, and the item is a C string that belongs to it.
        match unsafe { (self.get_item)(handle, ITEM_USER, &mut item) } {
            SUCCESS if item.is_null() => Err(("pam_get_item(PAM_USER)", BUF_ERR)),
            // SAFETY: as above; it is copied before the handle ends.
            SUCCESS => Ok(unsafe { CStr::from_ptr(item.cast()) }.to_string_lossy().into_owned()),
            status => Err(("pam_get_item(PAM_USER)", status)),
        }
    }

    fn text(&self, handle: *mut Handle, status: c_int) -> String {
        // SAFETY: Linux-PAM does not look at the handle, and gives a constant.
        let text = unsafe { (self.strerror)(handle, status) };
        match text.is_null() {
            true => format!("error {status}"),
            // SAFETY: a C string that stays.
            false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
        }
    }
}

/// A symbol wherever it was loaded from, so that a wrapper of the library is used if one is there.
fn symbol(name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if found.is_null() { Err(last_error()) } else { Ok(found) }
}

fn reason(status: c_int) -> Reason {
    match status {
        7 => Reason::WrongPassword,
        10 => Reason::UnknownUser,
        12 | 13 => Reason::Expired,
        _ => Reason::Other,
    }
}

/// Answers what modules ask: names with the name, secrets with the password.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *const *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    if !(1..=MESSAGES_MAX).contains(&count) || messages.is_null() || responses.is_null() || data.is_null() {
        return CONV_ERR;
    }
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: `data` is the `Talk` that pam_start was given, and nobody else uses it meanwhile.
    let talk = unsafe { &mut *data.cast::<Talk>() };
    // SAFETY: plain memory of the right size, which the module frees with free(3).
    let answers = unsafe { libc::calloc(count, size_of::<Response>()) }.cast::<Response>();
    if answers.is_null() {
        return BUF_ERR;
    }
    for at in 0..count {
        // SAFETY: Linux-PAM gives an array of `count` pointers to messages.
        let message = unsafe { &**messages.add(at) };
        match talk.answer(message, at + 1, count) {
            // SAFETY: `at` is within the array; the copy belongs to the module.
            Ok(Some(answer)) => unsafe { (*answers.add(at)).text = libc::strdup(answer.as_ptr()) },
            Ok(None) => {}
            Err(()) => {
                free(answers, at);
                return CONV_ERR;
            }
        }
    }
    // SAFETY: the caller gave the place for it.
    unsafe { *responses = answers };
    SUCCESS
}

/// Wipes and frees the first `count` answers, and their array.
fn free(answers: *mut Response, count: usize) {
    for at in 0..count {
        // SAFETY: each text is null or a C string of strdup(3), and nobody else has it.
        unsafe {
            let text = (*answers.add(at)).text;
            if !text.is_null() {
                ptr::write_bytes(text, 0, libc::strlen(text));
                libc::free(text.cast());
            }
        }
    }
    // SAFETY: the array came from calloc(3).
    unsafe { libc::free(answers.cast()) }
}

impl Talk {
    fn answer(&mut self, message: &Message, number: usize, count: usize) -> Result<Option<&CStr>, ()> {
        let text = match message.text.is_null() {
            true => String::new(),
            // SAFETY: a message's text is a C string.
            false => unsafe { CStr::from_ptr(message.text) }.to_string_lossy().into_owned(),
        };
        self.messages.push(format!("#{number}/{count} style={} msg={text}", message.style));
        match message.style {
            PROMPT_ECHO_ON => Ok(Some(&self.user)),
            PROMPT_ECHO_OFF => {
                self.prompt = Some(text);
                Ok(Some(&self.password))
            }
            ERROR_MSG | TEXT_INFO => Ok(None),
            _ => Err(()),
        }
    }
}

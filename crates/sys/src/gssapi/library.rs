//! The functions of MIT Kerberos' libraries, with the types that `gssapi.h` and `krb5.h` give them.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;

use crate::dynamic;

/// `gss_ctx_id_t`, `gss_cred_id_t` and `gss_name_t`
pub(super) type Context = *mut c_void;
pub(super) type Credential = *mut c_void;
pub(super) type Name = *mut c_void;
pub(super) type OidPointer = *mut Oid;

/// `gss_buffer_desc`
#[repr(C)]
pub(super) struct Buffer {
    length: usize,
    value: *mut c_void,
}

impl Buffer {
    pub(super) fn empty() -> Self {
        Self { length: 0, value: ptr::null_mut() }
    }

    /// For the library to read, while `bytes` live.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len(), value: bytes.as_ptr().cast_mut().cast() }
    }

    /// # Safety
    /// The value is null or has that many bytes.
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        match self.value.is_null() {
            true => &[],
            // SAFETY: as the caller says.
            false => unsafe { std::slice::from_raw_parts(self.value.cast::<u8>(), self.length) },
        }
    }
}

/// `gss_OID_desc`
#[repr(C)]
pub(super) struct Oid {
    length: u32,
    elements: *mut c_void,
}

/// For the library to read.
pub(super) fn oid(bytes: &'static [u8]) -> Oid {
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    Oid { length, elements: bytes.as_ptr().cast_mut().cast() }
}

/// What an identifier of the library's says; those are constants.
pub(super) fn oid_bytes(oid: OidPointer) -> Option<&'static [u8]> {
    if oid.is_null() {
        return None;
    }
    // SAFETY: the library gives pointers to constants of its own.
    let oid = unsafe { &*oid };
    if oid.elements.is_null() {
        return None;
    }
    // SAFETY: as above.
    Some(unsafe { std::slice::from_raw_parts(oid.elements.cast::<u8>(), usize::try_from(oid.length).ok()?) })
}

type AcquireCred = unsafe extern "C" fn(
    *mut u32,
    Name,
    u32,
    *mut c_void,
    c_int,
    *mut Credential,
    *mut c_void,
    *mut u32,
) -> u32;
type AcceptSecContext = unsafe extern "C" fn(
    *mut u32,
    *mut Context,
    Credential,
    *mut Buffer,
    *mut c_void,
    *mut Name,
    *mut OidPointer,
    *mut Buffer,
    *mut u32,
    *mut u32,
    *mut Credential,
) -> u32;
type Wrap = unsafe extern "C" fn(*mut u32, Context, c_int, u32, *mut Buffer, *mut c_int, *mut Buffer) -> u32;
type Unwrap = unsafe extern "C" fn(*mut u32, Context, *mut Buffer, *mut Buffer, *mut c_int, *mut u32) -> u32;
type ImportName = unsafe extern "C" fn(*mut u32, *mut Buffer, OidPointer, *mut Name) -> u32;
type DisplayName = unsafe extern "C" fn(*mut u32, Name, *mut Buffer, *mut OidPointer) -> u32;
type CompareName = unsafe extern "C" fn(*mut u32, Name, Name, *mut c_int) -> u32;
type DisplayStatus = unsafe extern "C" fn(*mut u32, u32, c_int, OidPointer, *mut u32, *mut Buffer) -> u32;
type Release<T> = unsafe extern "C" fn(*mut u32, *mut T) -> u32;
type DeleteSecContext = unsafe extern "C" fn(*mut u32, *mut Context, *mut Buffer) -> u32;
type RegisterIdentity = unsafe extern "C" fn(*const c_char) -> u32;
type InitContext = unsafe extern "C" fn(*mut *mut c_void) -> i32;
type FreeContext = unsafe extern "C" fn(*mut c_void);
type ParseName = unsafe extern "C" fn(*mut c_void, *const c_char, *mut *mut c_void) -> i32;
type FreePrincipal = unsafe extern "C" fn(*mut c_void, *mut c_void);
type UserOk = unsafe extern "C" fn(*mut c_void, *mut c_void, *const c_char) -> c_uint;

/// The functions.
pub(super) struct Library {
    pub(super) acquire_cred: AcquireCred,
    pub(super) accept_sec_context: AcceptSecContext,
    pub(super) wrap: Wrap,
    pub(super) unwrap: Unwrap,
    pub(super) import_name: ImportName,
    pub(super) display_name: DisplayName,
    pub(super) compare_name: CompareName,
    pub(super) display_status: DisplayStatus,
    pub(super) release_buffer: Release<Buffer>,
    pub(super) release_name: Release<Name>,
    pub(super) release_cred: Release<Credential>,
    pub(super) delete_sec_context: DeleteSecContext,
    pub(super) register_acceptor_identity: RegisterIdentity,
    pub(super) init_context: InitContext,
    pub(super) free_context: FreeContext,
    pub(super) parse_name: ParseName,
    pub(super) free_principal: FreePrincipal,
    pub(super) kuserok: UserOk,
}

impl Library {
    pub(super) fn get() -> Result<&'static Self, &'static str> {
        static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
        LIBRARY.get_or_init(Self::load).as_ref().map_err(String::as_str)
    }

    fn load() -> Result<Self, String> {
        let gss = dynamic::Library::open(c"libgssapi_krb5.so.2")?;
        let krb5 = dynamic::Library::open(c"libkrb5.so.3")?;
        // SAFETY: each symbol is a function of the library with the signature that its header gives it.
        unsafe {
            Ok(Self {
                acquire_cred: gss.function(c"gss_acquire_cred")?,
                accept_sec_context: gss.function(c"gss_accept_sec_context")?,
                wrap: gss.function(c"gss_wrap")?,
                unwrap: gss.function(c"gss_unwrap")?,
                import_name: gss.function(c"gss_import_name")?,
                display_name: gss.function(c"gss_display_name")?,
                compare_name: gss.function(c"gss_compare_name")?,
                display_status: gss.function(c"gss_display_status")?,
                release_buffer: gss.function(c"gss_release_buffer")?,
                release_name: gss.function(c"gss_release_name")?,
                release_cred: gss.function(c"gss_release_cred")?,
                delete_sec_context: gss.function(c"gss_delete_sec_context")?,
                register_acceptor_identity: gss.function(c"krb5_gss_register_acceptor_identity")?,
                init_context: krb5.function(c"krb5_init_context")?,
                free_context: krb5.function(c"krb5_free_context")?,
                parse_name: krb5.function(c"krb5_parse_name")?,
                free_principal: krb5.function(c"krb5_free_principal")?,
                kuserok: krb5.function(c"krb5_kuserok")?,
            })
        }
    }
}

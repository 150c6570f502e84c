//! Libraries that are loaded when they are first needed.

use std::ffi::{CStr, c_void};

/// A library. It is never unloaded, so that its functions stay.
#[derive(Clone, Copy)]
pub(crate) struct Library(*mut c_void);

impl Library {
    /// # Errors
    /// What the loader says: usually that there is no such library.
    pub(crate) fn open(name: &CStr) -> Result<Self, String> {
        // SAFETY: the name is a C string. The initializers of the libraries that this crate names ask
        // for nothing.
        let loaded = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        if loaded.is_null() { Err(last_error()) } else { Ok(Self(loaded)) }
    }

    /// One of its functions.
    ///
    /// # Errors
    /// It has none of that name.
    ///
    /// # Safety
    /// `F` is the type of a pointer to just this function.
    pub(crate) unsafe fn function<F: Copy>(self, name: &CStr) -> Result<F, String> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: the library is loaded, the name is a C string.
        let found = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if found.is_null() {
            return Err(last_error());
        }
        // SAFETY: of the same size, and what the caller says that it is.
        Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
    }
}

/// What the loader has to say about the last failure.
pub(crate) fn last_error() -> String {
    // SAFETY: the string stays until the next call of this thread, and is copied.
    let text = unsafe { libc::dlerror() };
    match text.is_null() {
        true => "unknown error".into(),
        // SAFETY: as above.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let error = Library::open(c"libnowhere-at-all.so.7").err().unwrap();
        assert!(error.contains("libnowhere-at-all.so.7"), "{error}");
        let libc = Library::open(c"libc.so.6").unwrap();
        // SAFETY: it is not called.
        let error = unsafe { libc.function::<extern "C" fn()>(c"no_such_function_at_all") }.err().unwrap();
        assert!(error.contains("no_such_function_at_all"), "{error}");
    }
}

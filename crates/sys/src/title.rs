//! The process's title as `ps` shows it. The kernel shows the memory that held the arguments when
//! the process started, so that is where a title is written. Arguments alone are a few bytes long;
//! whoever starts a process that will want a title puts [`ROOM`] first into its environment.

use std::sync::Mutex;

/// First entry of the environment of a process that may want a title of its own: it is only there
/// to be overwritten.
pub const ROOM: &str = concat!(
    "_=",
    "                                                                                ",
    "                                                                                ",
    "                                                                                ",
);

struct Area {
    start: usize,
    length: usize,
}

static AREA: Mutex<Option<Area>> = Mutex::new(None);

/// Finds the memory where titles go. Call once, early, before anything reads the arguments' memory
/// in another thread; without it [`set`] does nothing.
pub fn prepare() {
    let Some((arguments, environment)) = bounds() else { return };
    let first = std::env::var_os("_").unwrap_or_default();
    let has_room = environment.0 == arguments.1 && first.len() == ROOM.len() - 2;
    let end = if has_room { environment.0 + ROOM.len() + 1 } else { arguments.1 };
    // The copy that std keeps of the environment is read from the same memory: take ours out of it.
    if has_room {
        // SAFETY: `prepare` is called before other threads exist.
        unsafe { std::env::remove_var("_") };
    }
    if let Ok(mut area) = AREA.lock()
        && end > arguments.0
    {
        *area = Some(Area { start: arguments.0, length: end - arguments.0 });
    }
}

/// Shows `title` in `ps`, cut to what there is room for.
pub fn set(title: &str) {
    let Ok(area) = AREA.lock() else { return };
    let Some(area) = area.as_ref() else { return };
    let cut = &title.as_bytes()[..title.floor_char_boundary(area.length - 1)];
    // SAFETY: the range is this process's own argument (and ROOM) memory as the kernel reports it,
    // mapped writable for the process's whole life on the stack; nothing in Rust borrows it (std
    // copies arguments on each use), and the mutex keeps writers apart.
    unsafe {
        let start = area.start as *mut u8;
        std::ptr::write_bytes(start, 0, area.length);
        std::ptr::copy_nonoverlapping(cut.as_ptr(), start, cut.len());
    }
}

/// Start and end of the arguments and of the environment, from `/proc/self/stat`.
fn bounds() -> Option<((usize, usize), (usize, usize))> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in parentheses and may hold spaces; field 3 follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<usize>().ok());
    let arguments = (field(48)?, field(49)?);
    let environment = (field(50)?, field(51)?);
    (arguments.0 != 0 && arguments.0 < arguments.1).then_some((arguments, environment))
}

//! Which standard streams this process was started with.
//!
//! The standard library opens /dev/null in the place of those that are closed, before `main`. After that nobody can tell a
//! closed standard output (`>&-`), whose bytes are lost by mistake, from one that was sent to /dev/null. So it is looked at
//! earlier, by the loader's hook for initialisers.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard output's descriptor.
const STDOUT: i32 = 1;

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether this process was started without a standard output.
#[must_use]
pub fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}

#[used]
#[allow(
    unsafe_code,
    reason = "only the loader runs anything before the standard library opens what is closed"
)]
// SAFETY: the section holds pointers to functions of this type, which the loader calls once, on the one thread there is.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

#[allow(unsafe_code, reason = "a descriptor that may be closed has no owner to borrow it from")]
extern "C" fn look() {
    // SAFETY: the number is no -1, and is only asked about: one that is closed is answered with an error.
    let stdout = unsafe { BorrowedFd::borrow_raw(STDOUT) };
    // A system call and no more: no part of the standard library that `main` would have to prepare.
    STDOUT_WAS_CLOSED.store(rustix::io::fcntl_getfd(stdout).is_err(), Ordering::Relaxed);
}

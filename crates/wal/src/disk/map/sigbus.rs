//! What is said when a page of a mapped segment can't be read.
//!
//! The kernel tells it by SIGBUS: the device failed under a page that is not cached, or somebody cut the
//! file short. The handler writes one line (segment and place) to stderr and aborts. Faults elsewhere
//! are not ours: the action that was there before is put back, and meets the fault again.
//!
//! The handler runs between any two instructions of any thread, so it takes no lock and allocates
//! nothing: it reads a fixed table of atomics, formats into a buffer on its stack, and calls `write` and
//! `abort`, which may be called there (signal-safety(7)).

use std::fmt::Write;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Mappings that can be told apart; of more, the line does not name the segment.
const NOTED_MAX: usize = 4096;

static NOTED: [Noted; NOTED_MAX] = [const { Noted::free() }; NOTED_MAX];
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());
static INSTALLED: Once = Once::new();

/// A mapping. Free while `len` is 0; taken by whoever sets `base` from 0; `len` is set last and cleared
/// first, so that a fault never sees half of it.
struct Noted {
    base: AtomicUsize,
    len: AtomicUsize,
    segment: AtomicU64,
}

impl Noted {
    const fn free() -> Noted {
        Noted {
            base: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            segment: AtomicU64::new(0),
        }
    }
}

/// A mapping is named in the handler's line for as long as this lives.
pub(super) struct Named(Option<&'static Noted>);

impl Named {
    pub(super) fn new(base: usize, len: usize, segment: u64) -> Named {
        INSTALLED.call_once(install);
        let free = NOTED.iter().find(|noted| {
            let taken = noted
                .base
                .compare_exchange(0, base, Ordering::AcqRel, Ordering::Relaxed);
            taken.is_ok()
        });
        if let Some(noted) = free {
            noted.segment.store(segment, Ordering::Relaxed);
            noted.len.store(len, Ordering::Release);
        }
        Named(free)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(noted) = self.0 {
            noted.len.store(0, Ordering::Release);
            noted.base.store(0, Ordering::Release);
        }
    }
}

fn install() {
    // SAFETY: `sigaction` is a plain C struct, for which all zeros is a value.
    let (mut action, mut before): (libc::sigaction, libc::sigaction) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both point to whole structs that outlive the calls; the handler has the type that
    // SA_SIGINFO asks for and does only what a handler may (see the module). The first call only asks,
    // so that `BEFORE` is set before a handler can run.
    unsafe {
        if libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) != 0 {
            return;
        }
        BEFORE.store(Box::into_raw(Box::new(before)), Ordering::Release);
        // It can't fail for a signal that exists; without it the kernel's default stays, which stops the
        // process as well, in silence.
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

extern "C" fn on_sigbus(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel hands in a valid `siginfo_t`, of which SIGBUS sets the address.
    let at = unsafe { (*info).si_addr() } as usize;
    let hit = NOTED.iter().find(|noted| {
        let len = noted.len.load(Ordering::Acquire);
        let base = noted.base.load(Ordering::Relaxed);
        len > 0 && at.wrapping_sub(base) < len
    });
    let Some(noted) = hit else {
        let before = BEFORE.load(Ordering::Acquire);
        // SAFETY: set once, before this handler was installed, and never freed. On return the
        // instruction faults again, and the action put back here meets it.
        unsafe { libc::sigaction(libc::SIGBUS, before, std::ptr::null_mut()) };
        return;
    };
    let mut line = Line {
        bytes: [0; 256],
        len: 0,
    };
    let segment = noted.segment.load(Ordering::Relaxed);
    let offset = at - noted.base.load(Ordering::Relaxed);
    // The line is longer than what is written.
    let _ = writeln!(
        line,
        "paxlog: {segment:016x}.seg can't be read at byte {offset}: its device failed, or it was cut short; \
         stopping, instead of going on with bytes that are not there (SIGBUS)"
    );
    // SAFETY: the bytes are this function's own; both calls may be made in a handler.
    unsafe {
        libc::write(2, line.bytes.as_ptr().cast(), line.len);
        libc::abort();
    }
}

/// A line on the stack; what does not fit is left out.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = &mut self.bytes[self.len..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        Ok(())
    }
}

//! Gathers what starts need that is not in their manifests, each on a thread of its own.
//!
//! In: a launch. Out: a pipe that ends when its answer is there. Not here: how anything is fetched (`execute`).
//! The surprise: nothing waits for these threads. One that hangs on a disk is left behind, and only its own start
//! fails; so many of them may exist at once, and no more.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::engine::plan::Launch;
use crate::execute::environment::{self, Given};

/// The most threads at once, those that hang included.
const THREADS_MAX: usize = 64;

/// The threads.
#[derive(Debug, Default)]
pub struct Resolver {
    threads: Arc<AtomicUsize>,
}

/// An answer to come.
#[derive(Debug)]
pub struct Asked(mpsc::Receiver<Result<Given, String>>);

impl Asked {
    /// The answer, once its pipe has ended.
    ///
    /// # Errors
    /// What could not be had, in words.
    pub fn answer(&self) -> Result<Given, String> {
        // A thread that is gone without an answer has met a defect of ours.
        self.0.try_recv().unwrap_or_else(|_| Err("its environment could not be gathered; please report this".into()))
    }
}

/// One thread, counted until it has ended, whatever ends it.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Resolver {
    /// True when there is room for another thread.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.threads.load(Ordering::Relaxed) < THREADS_MAX
    }

    /// Begins to gather; the pipe becomes readable when the answer is there.
    ///
    /// # Errors
    /// When the system has no thread or pipe left.
    pub fn ask(&self, launch: Arc<Launch>) -> std::io::Result<(Asked, OwnedFd)> {
        let (told, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let (sender, receiver) = mpsc::channel();
        self.threads.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.threads));
        std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
            let _counted = counted;
            // Whoever asked may have lost interest.
            _ = sender.send(environment::gather(&launch));
            drop(theirs);
        })?;
        Ok((Asked(receiver), told))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A question, and the means to answer it.
    pub fn asked() -> (mpsc::Sender<Result<Given, String>>, Asked) {
        let (sender, receiver) = mpsc::channel();
        (sender, Asked(receiver))
    }
}

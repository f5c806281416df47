//! The way of an answer back to the handler that waits for it.
//!
//! Handlers live on the threads of their connections, flushers on others, and to wake a task on another thread's runtime is a
//! system call, each time. So each thread of handlers has one task that is woken for all the answers of a flush, and hands
//! them on within the thread, where waking costs next to nothing.

use std::cell::RefCell;

use tokio::sync::{mpsc, oneshot};

use super::{NotStored, Stored};

/// What a publisher waits for.
pub(super) type Answer = Result<Stored, NotStored>;

/// Where one handler waits. Dropped unsent, it tells the handler that there will be no answer.
pub(super) struct Reply {
    handler: oneshot::Sender<Answer>,
    relay: Relay,
}

/// The inbox of the task that hands answers on within a thread.
type Relay = mpsc::UnboundedSender<(oneshot::Sender<Answer>, Answer)>;

/// Answers handed on before the handlers they are for get their turn.
const AT_ONCE: usize = 64;

thread_local! {
    static RELAY: RefCell<Option<Relay>> = const { RefCell::new(None) };
}

impl Reply {
    /// One for a handler that runs on this thread.
    pub(super) fn expected() -> (Self, oneshot::Receiver<Answer>) {
        let (handler, answered) = oneshot::channel();
        (Self { handler, relay: relay_of_this_thread() }, answered)
    }

    /// Whether the handler has stopped waiting.
    pub(super) fn is_unwanted(&self) -> bool {
        self.handler.is_closed()
    }

    /// Answers; whoever stopped waiting misses it.
    pub(super) fn send(self, answer: Answer) {
        if let Err(mpsc::error::SendError((handler, answer))) = self.relay.send((self.handler, answer)) {
            // The thread is going down.
            let _ = handler.send(answer);
        }
    }
}

fn relay_of_this_thread() -> Relay {
    RELAY.with_borrow_mut(|relay| {
        if let Some(open) = relay.as_ref().filter(|relay| !relay.is_closed()) {
            return open.clone();
        }
        let (opened, mut inbox) = mpsc::unbounded_channel::<(oneshot::Sender<Answer>, Answer)>();
        tokio::spawn(async move {
            let mut answers = Vec::with_capacity(AT_ONCE);
            while inbox.recv_many(&mut answers, AT_ONCE).await > 0 {
                for (handler, answer) in answers.drain(..) {
                    let _ = handler.send(answer);
                }
            }
        });
        relay.insert(opened).clone()
    })
}

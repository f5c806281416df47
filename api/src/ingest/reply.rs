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
        let (opened, mut inbox): (Relay, _) = mpsc::unbounded_channel();
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

#[cfg(test)]
mod tests {
    use trunkline_domain::EventId;

    use super::*;

    const REFUSED: Answer = Err(NotStored::Refused);

    #[tokio::test]
    async fn answers_given_on_another_thread_reach_each_its_own_handler() {
        let (replies, answered): (Vec<_>, Vec<_>) = (0..3 * AT_ONCE).map(|_| Reply::expected()).unzip();
        let ids: Vec<_> =
            (0..replies.len() as u64).map(|n| EventId::mint(chrono::DateTime::UNIX_EPOCH, n)).collect();
        let stored = |event_id| Ok(Stored { event_id, is_routed: true, is_replayed: false });
        let answers: Vec<Answer> = ids.into_iter().map(stored).collect();
        let given = replies.into_iter().zip(answers.clone());
        let flusher = std::thread::spawn(move || given.for_each(|(reply, answer)| reply.send(answer)));
        for (answered, answer) in answered.into_iter().zip(answers) {
            assert_eq!(answered.await, Ok(answer));
        }
        flusher.join().unwrap();
    }

    #[tokio::test]
    async fn a_handler_whose_reply_was_lost_with_a_flusher_waits_no_longer() {
        let (reply, answered) = Reply::expected();
        drop(reply);
        assert!(answered.await.is_err());
    }

    #[test]
    fn a_thread_that_serves_again_after_its_runtime_ended_is_answered() {
        let serve = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (reply, answered) = Reply::expected();
                reply.send(REFUSED);
                assert_eq!(answered.await, Ok(REFUSED));
                Reply::expected()
            })
        };
        let (reply, mut answered) = serve();
        reply.send(REFUSED);
        assert_eq!(answered.try_recv(), Ok(REFUSED), "what comes late is not lost");
        serve();
    }
}

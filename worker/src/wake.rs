//! Who wakes whom: a bell for "look again", and the engine's mailbox of what the database told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use trunkline_domain::TenantId;
use trunkline_store::wake::{Hint, Wake};

/// Hints that are kept; beyond them, one look says the same for less.
const HINTS_MAX: usize = 4_096;

/// Rung by whoever knows that looking is worth while. Rings that nobody waits for fold into one.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<Notify>);

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits for a ring, `wait` at most.
    pub(crate) async fn rung_within(&self, wait: Duration) {
        // Both ends mean the same: look.
        let _ = tokio::time::timeout(wait, self.0.notified()).await;
    }

    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}

/// What the engine has been told and has not read: endpoints with new work, or that it should look for itself, and who was changed.
#[derive(Clone, Default)]
pub(crate) struct Mailbox {
    mail: Arc<Mutex<Mail>>,
    bell: Bell,
}

/// What was in the mailbox.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) hints: HashSet<Hint>,
    pub(crate) look: bool,
    /// Tenants of which something was changed. Beyond [`HINTS_MAX`] they are found out as if nothing had been told: within a second.
    pub(crate) changed: HashSet<TenantId>,
}

impl Mailbox {
    pub(crate) fn post(&self, wake: Wake) {
        {
            let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
            match wake {
                Wake::Endpoints(hints) if mail.hints.len() < HINTS_MAX => mail.hints.extend(hints),
                Wake::Changed(tenant_id) if mail.changed.len() < HINTS_MAX => {
                    mail.changed.extend([tenant_id]);
                }
                Wake::Changed(_) => {}
                Wake::Endpoints(_) | Wake::Look | Wake::LanesFree => mail.look = true,
            }
        }
        self.bell.ring();
    }

    /// Waits until there is something.
    pub(crate) async fn arrived(&self) {
        self.bell.rung().await;
    }

    /// Empties it.
    pub(crate) fn take(&self) -> Mail {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

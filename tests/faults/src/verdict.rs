//! Lost, duplicated, unexpected: the ledger of what was acknowledged against the ledger of what arrived.

use std::collections::HashMap;

use crate::ledger::Entries;
use crate::publisher::payload;
use crate::sink::Arrival;

/// What came, whoever noted it: the event's id and the number in its payload, where it is known.
pub(crate) struct Came {
    pub(crate) event_id: String,
    pub(crate) number: Option<u64>,
    /// The payload arrived byte for byte as it was published.
    pub(crate) is_intact: bool,
}

impl Came {
    /// What the sink noted on one path, of payloads with that much filling.
    pub(crate) fn at_sink(arrivals: &[Arrival], path: &str, padding: usize) -> Vec<Self> {
        let came = |arrival: &Arrival| Self {
            event_id: arrival.webhook_id.clone(),
            number: arrival.number,
            is_intact: arrival.number.is_some_and(|number| arrival.body == payload(number, padding)),
        };
        arrivals.iter().filter(|arrival| arrival.path == path).map(came).collect()
    }
}

/// The count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) acknowledged: u64,
    /// Acknowledged and never arrived.
    pub(crate) lost: u64,
    /// Arrivals beyond the first of each event.
    pub(crate) duplicated: u64,
    /// Arrivals that nobody published, two events for one number, or payloads that changed on their way.
    pub(crate) unexpected: u64,
}

/// Compares the ledgers.
pub(crate) fn judge(entries: &Entries, came: &[Came]) -> Verdict {
    let mut first: HashMap<&str, &Came> = HashMap::new();
    let mut verdict = Verdict { acknowledged: entries.acknowledged.len() as u64, ..Verdict::default() };
    for one in came {
        let is_first = first.insert(&one.event_id, one).is_none();
        verdict.duplicated += u64::from(!is_first);
    }
    verdict.lost = entries.acknowledged.keys().filter(|id| !first.contains_key(id.as_str())).count() as u64;
    verdict.unexpected =
        entries.contradicted + first.values().filter(|one| !is_expected(entries, one)).count() as u64;
    verdict
}

/// Published by us with that number, or under way without an answer.
fn is_expected(entries: &Entries, came: &Came) -> bool {
    let known = match (entries.acknowledged.get(&came.event_id), came.number) {
        (Some(number), Some(seen)) => *number == seen,
        // The reference consumer keeps ids, not payloads.
        (Some(_), None) => true,
        (None, Some(seen)) => entries.in_doubt.contains(&seen),
        (None, None) => !entries.in_doubt.is_empty(),
    };
    known && came.is_intact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(event_id: &str, number: u64) -> Came {
        Came { event_id: event_id.to_owned(), number: Some(number), is_intact: true }
    }

    fn entries(acknowledged: &[(&str, u64)], in_doubt: &[u64]) -> Entries {
        Entries {
            acknowledged: acknowledged.iter().map(|(id, number)| ((*id).to_owned(), *number)).collect(),
            in_doubt: in_doubt.iter().copied().collect(),
            contradicted: 0,
        }
    }

    #[test]
    fn what_was_acknowledged_and_did_not_come_is_lost() {
        let verdict = judge(&entries(&[("a", 1), ("b", 2)], &[]), &[came("a", 1)]);
        assert_eq!(verdict, Verdict { acknowledged: 2, lost: 1, duplicated: 0, unexpected: 0 });
    }

    #[test]
    fn what_comes_again_is_duplicated() {
        let verdict = judge(&entries(&[("a", 1)], &[]), &[came("a", 1), came("a", 1), came("a", 1)]);
        assert_eq!(verdict, Verdict { acknowledged: 1, lost: 0, duplicated: 2, unexpected: 0 });
    }

    #[test]
    fn a_request_without_an_answer_may_have_made_an_event_or_not() {
        let verdict = judge(&entries(&[], &[7, 8]), &[came("a", 7)]);
        assert_eq!(verdict, Verdict::default());
    }

    #[test]
    fn two_events_for_one_number_a_stranger_and_a_changed_payload_are_unexpected() {
        let changed = Came { is_intact: false, ..came("a", 1) };
        let verdict = judge(&entries(&[("a", 1)], &[]), &[changed, came("b", 1), came("c", 9)]);
        assert_eq!(verdict.unexpected, 3);
    }
}

//! What the roster decides, told what it is told.

use chrono::Duration;
use trunkline_domain::EventId;
use trunkline_domain::{Lane, TenantId};
use trunkline_store::deliveries::{ActiveEndpoint, DeliveryKey, Lease};
use trunkline_store::wake::Hint;

use super::*;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// A worker that serves every lane.
fn roster() -> Roster {
    let mut roster = Roster::new(Limits { concurrency: 8, endpoint_concurrency: 8 });
    roster.keep_only(Lane::all().collect(), NOW);
    roster
}

/// A look found something at this endpoint.
fn active(endpoint_id: EndpointId, first_due_at: DateTime<Utc>) -> ActiveEndpoint {
    ActiveEndpoint {
        lane: Lane::new(0).unwrap(),
        tenant_id: acme(),
        endpoint_id,
        first_due_at,
        expedited_from: None,
    }
}

/// It was loaded, as it is in the table.
fn load(roster: &mut Roster, endpoint_id: EndpointId) {
    roster.note_loaded(&[(acme(), endpoint_id)], vec![Callable::plain(acme(), endpoint_id)], NOW);
}

/// One due delivery of it, as a claim brings it.
fn claimed(endpoint_id: EndpointId) -> Claimed {
    let (lane, event_id) = (Lane::new(0).unwrap(), EventId::first_at(NOW));
    Claimed {
        key: DeliveryKey { lane, tenant_id: acme(), event_id, endpoint_id },
        lease: Lease(1),
        due_at: NOW,
        attempt: 1,
        cycle_attempt: 1,
        ordering_key: None,
        event_type: None,
        traceparent: None,
        lost_again: false,
        payload: None,
    }
}

/// An attempt at it ended badly, with such a consequence.
fn ending(endpoint_id: EndpointId, consequence: Consequence) -> Ending {
    let (fared, started_at) = (Fared::Badly, NOW);
    Ending { endpoint_id, fared, started_at, retry_at: None, consequence, payload_bytes: 0 }
}

#[test]
fn an_answer_that_asks_for_quiet_holds_although_settings_were_loaded_anew_since_its_attempt_began() {
    let (mut roster, id) = (roster(), EndpointId::from(uuid::Uuid::nil()));
    roster.note_active(active(id, NOW), NOW);
    let gate = |roster: &Roster| roster.entries[&id].gate(NOW);
    load(&mut roster, id);
    load(&mut roster, id);
    assert_eq!(gate(&roster), Gate::Open);
    roster.note_ended(ending(id, Consequence::Pause(std::time::Duration::from_secs(60))), NOW);
    assert_eq!(gate(&roster), Gate::Until(NOW + Duration::seconds(60)));
    roster.note_ended(ending(id, Consequence::Disable), NOW);
    assert_eq!(gate(&roster), Gate::Closed);
    // Nor does a row that does not know it yet take it back.
    load(&mut roster, id);
    assert_eq!(gate(&roster), Gate::Closed);
}

#[test]
fn of_an_endpoint_that_was_changed_nothing_is_sent_until_it_was_loaded_since() {
    let (mut roster, id) = (roster(), EndpointId::from(uuid::Uuid::nil()));
    roster.note_active(active(id, NOW), NOW);
    assert_eq!(roster.stale(), [(acme(), id)]);
    load(&mut roster, id);
    let wanted = roster.plan(8, NOW);
    roster.note_claimed(&wanted, vec![claimed(id)], NOW + Duration::seconds(30), NOW);
    roster.note_changed(&["globex".parse().unwrap()].into());
    assert!(!roster.is_ignorant(), "it is another tenant's");
    roster.note_changed(&[acme()].into());
    assert!(roster.start(NOW).is_empty());
    assert_eq!(roster.take_given_back().len(), 1);
    // What is being loaded when it is changed once more may be what it was before.
    assert_eq!(roster.stale(), [(acme(), id)]);
    roster.note_changed(&[acme()].into());
    load(&mut roster, id);
    assert!(roster.is_ignorant() && roster.plan(8, NOW).is_empty());
    assert_eq!(roster.stale(), [(acme(), id)]);
    load(&mut roster, id);
    assert_eq!(roster.plan(8, NOW).len(), 1);
}

#[test]
fn an_endpoint_that_is_not_there_is_forgotten_whatever_waited_for_it() {
    let (mut roster, id) = (roster(), EndpointId::from(uuid::Uuid::nil()));
    roster.note_active(active(id, NOW + Duration::days(1)), NOW);
    roster.note_hint(Hint { lane: Lane::new(0).unwrap(), tenant_id: acme(), endpoint_id: id }, NOW);
    assert!(roster.is_ignorant());
    let asked = roster.stale();
    assert_eq!(asked, [(acme(), id)]);
    roster.note_loaded(&asked, Vec::new(), NOW);
    assert!(!roster.entries[&id].is_in_use());
    // Long after its last use nothing is asked for, and nothing kept.
    let long_ago = std::time::Instant::now().checked_sub(std::time::Duration::from_secs(301));
    let entry = roster.entries.get_mut(&id).unwrap();
    (entry.used_at, entry.loaded_at) = (long_ago.unwrap(), long_ago);
    assert!(roster.stale().is_empty() && roster.entries.is_empty());
}

#[test]
fn an_endpoint_that_waits_long_has_one_timer_however_often_it_is_looked_at() {
    let limits = Limits { concurrency: 8, endpoint_concurrency: 8 };
    let (mut roster, id, now) =
        (Roster::new(limits), EndpointId::from(uuid::Uuid::nil()), DateTime::UNIX_EPOCH);
    let (sooner, later) = (now + Duration::seconds(1), now + Duration::days(1));
    roster.entries.insert(id, Entry::new(Lane::new(0).unwrap(), "acme".parse().unwrap()));
    (0..1_000).for_each(|_| roster.set_timer(id, later));
    assert_eq!((roster.timers.len(), roster.next_timer()), (1, Some(later)));
    (0..1_000).for_each(|_| roster.set_timer(id, sooner));
    roster.set_timer(id, later);
    assert_eq!((roster.timers.len(), roster.next_timer()), (1, Some(sooner)));
    roster.run_timers(sooner);
    assert_eq!(roster.next_timer(), None);
    // What rang is set again.
    roster.set_timer(id, later);
    assert_eq!(roster.next_timer(), Some(later));
}

#[test]
fn what_was_claimed_of_a_lane_that_left_meanwhile_is_given_back_and_not_started() {
    let (mut roster, id) = (roster(), EndpointId::from(uuid::Uuid::nil()));
    roster.note_active(active(id, NOW), NOW);
    load(&mut roster, id);
    let wanted = roster.plan(8, NOW);
    assert_eq!(wanted.len(), 1);
    roster.keep_only(LaneSet::NONE, NOW);
    roster.note_claimed(&wanted, vec![claimed(id)], NOW + Duration::seconds(30), NOW);
    assert!(roster.start(NOW).is_empty());
    assert_eq!(roster.take_given_back().len(), 1);
    assert!(roster.busy().is_empty() && roster.entries.is_empty(), "the lane is free to go");
}

#[test]
fn what_was_known_of_a_lane_that_came_back_is_loaded_anew_at_once() {
    let (mut roster, id) = (roster(), EndpointId::from(uuid::Uuid::nil()));
    roster.note_active(active(id, NOW), NOW);
    load(&mut roster, id);
    assert!(roster.stale().is_empty());
    roster.note_gained(Lane::all().collect());
    assert!(roster.is_ignorant());
    assert_eq!(roster.stale(), [(acme(), id)]);
}

#[test]
fn who_found_no_room_is_asked_again_when_a_claim_brings_less_than_it_asked_for() {
    let mut roster = roster();
    let ids = [1, 2, 3, 4].map(|number| EndpointId::from(uuid::Uuid::from_u128(number)));
    for id in ids {
        roster.note_active(active(id, NOW), NOW);
        load(&mut roster, id);
    }
    // Of those that are not known yet one tenant may hold three.
    let wanted = roster.plan(8, NOW);
    assert_eq!(wanted.iter().map(|one| one.endpoint_id).collect::<Vec<_>>(), ids[..3]);
    // Looks find the fourth again and again meanwhile.
    for _ in 0..9 {
        roster.note_active(active(ids[3], NOW), NOW);
        assert!(roster.plan(8, NOW).is_empty());
    }
    assert!(roster.crowded.len() <= 4, "each once");
    roster.note_claimed(&wanted, Vec::new(), NOW + Duration::seconds(30), NOW);
    let next = roster.plan(1, NOW);
    assert_eq!(next.iter().map(|one| one.endpoint_id).collect::<Vec<_>>(), ids[3..]);
}

#[test]
fn what_cannot_be_begun_before_its_lease_ends_keeps_nothing_behind_it_from_being_started() {
    let (mut roster, id) = (roster(), EndpointId::from(uuid::Uuid::nil()));
    roster.note_active(active(id, NOW), NOW);
    load(&mut roster, id);
    let wanted = roster.plan(8, NOW);
    // The time-out is 15 s.
    for lease in [2, 30] {
        roster.note_claimed(&wanted, vec![claimed(id)], NOW + Duration::seconds(lease), NOW);
    }
    assert_eq!((roster.start(NOW).len(), roster.take_given_back().len()), (1, 1));
}
